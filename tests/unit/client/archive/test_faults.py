"""Every disk call fails once or permanently, at every step: no message is lost, and every result is true."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.import_export import Importer
from emailsys.client.archive.index import Index
from emailsys.client.archive.values import TRASH, Addition, ArchiveError, Flag, Folder
from tests.unit.client.archive.test_archive import IN, ME, NOW, ArchiveCase, message

OTHER: Final = Folder("other@example.test", "Inbox")
DRAFTS: Final = Folder(ME, "Drafts")
MINE: Final = Folder(ME, "Mine")
# The errors of each call. Successive steps take them in turn.
_CALLS: Final = {
    "open": (errno.EMFILE, errno.ENOSPC, errno.EROFS, errno.EIO),
    "read": (errno.EIO,),
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "fsync": (errno.EIO, errno.ENOSPC),
    "utime": (errno.EIO, errno.EROFS),
    "replace": (errno.EIO, errno.ENOSPC, errno.EROFS),
    "rename": (errno.EIO, errno.ENOSPC),
    "unlink": (errno.EIO, errno.EROFS),
    "mkdir": (errno.ENOSPC, errno.EROFS),
    "rmdir": (errno.EIO,),
    "truncate": (errno.EIO,),
    "scandir": (errno.EMFILE, errno.EIO),
}
# SQLite writes the index, so its transaction fails instead of a system call.
_INDEX: Final = "transaction"
# Files that are opened by Python's `open`: messages and journals that are read.
_READING: Final = "open a file to read it"

Work = Callable[[Archive], object]
# Octets, folder, flags, and tags of a message.
Message = tuple[bytes, Folder, Flag, tuple[str, ...]]


def contents(archive: Archive) -> Counter[Message]:
    """Return all messages that the archive shows."""
    return Counter(
        (archive.octets(one.key), one.folder, one.flags, one.tags)
        for count in archive.folders()
        for one in archive.list(count.folder)
    )


def octets_of(messages: Counter[Message]) -> Counter[bytes]:
    """Return the octets of messages, regardless of folder and marks."""
    found: Counter[bytes] = Counter()
    for (octets, *_), number in messages.items():
        found[octets] += number
    return found


class FaultTests(ArchiveCase):
    """Two accounts, three messages in Inbox, one draft, one message in Trash, and a folder of one's own."""

    timeout = 300

    def setUp(self) -> None:
        super().setUp()
        self.archive.add_account(OTHER.account)
        self.archive.add_folder(MINE)
        self.archive.add_many([Addition(message(str(one)), IN, f"s{one}", Flag.SEEN, ("t",)) for one in range(3)])
        self.archive.add(Addition(message("draft"), DRAFTS, "draft"))
        self.archive.add(Addition(message("gone"), Folder(ME, TRASH), "gone"))
        self.before = contents(self.archive)
        self.archive.close()
        # These tests cut no power, so nothing has to be synced.
        self.patch(os, "fsync", lambda descriptor: None)
        self.copies = itertools.count()

    def failing(self, name: str, at: int, lasting: bool) -> tuple[Callable[[], None], list[int]]:
        """Make a call fail at one step, or from that step on. Return how to restore it, and the failed steps."""
        if name == _READING:
            return self.failing_reads(at, lasting)
        owner: Any = Index if name == _INDEX else os
        original: Callable[..., Any] = getattr(owner, name)
        failed: list[int] = []
        count = 0

        def failing(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == at or (lasting and count > at):
                failed.append(count)
                if name == _INDEX:
                    raise sqlite3.OperationalError("disk I/O error")
                reasons = _CALLS[name]
                number = reasons[at % len(reasons)]
                raise OSError(number, os.strerror(number))
            return original(*arguments, **named)

        return self.patch(owner, name, failing).restore, failed

    def failing_reads(self, at: int, lasting: bool) -> tuple[Callable[[], None], list[int]]:
        """Like `failing`, for files of the test that Python opens."""
        opens = io.open
        folder = str(self.root.parent)
        failed: list[int] = []
        count = 0

        def failing(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            nonlocal count
            if mode.startswith("r") and str(file).startswith(folder):
                count += 1
                if count == at or (lasting and count > at):
                    failed.append(count)
                    number = (errno.EIO, errno.EMFILE)[at % 2]
                    raise OSError(number, os.strerror(number), str(file))
            return opens(file, mode, *arguments, **named)

        patches = [self.patch(owner, "open", failing) for owner in (io, builtins)]

        def heal() -> None:
            for patch in patches:
                patch.restore()

        return heal, failed

    def each_fault(
        self,
        work: Work,
        done: Callable[[Counter[Message]], Counter[Message]],
        is_whole: bool = True,
        may_lose: Counter[bytes] | None = None,
    ) -> None:
        """Do the work with a fault at each call. After the fault is removed, do failed work once more.

        @param done: what the archive shows when the work is done, from what it showed before.
        @param is_whole: work that fails has done nothing, else perhaps a part; no message is lost or doubled.
        @param may_lose: messages that the work removes.
        """
        wanted = done(self.before)
        total = 0
        for name, lasting in itertools.product((*_CALLS, _INDEX, _READING), (False, True)):
            for at in itertools.count(1):
                if not self.survives(work, (name, at, lasting), wanted, is_whole, may_lose or Counter()):
                    break
                total += 1
        self.assertGreater(total, 5, "hardly anything was tried")

    def survives(
        self,
        work: Work,
        fault: tuple[str, int, bool],
        wanted: Counter[Message],
        is_whole: bool,
        may_lose: Counter[bytes],
    ) -> bool:
        """Return whether the fault happened. Fail if a message was lost or a result was untrue."""
        root = self.root.parent / f"copy{next(self.copies)}"
        shutil.copytree(self.root, root)
        archive = Archive(root, lambda: NOW)
        heal, failed = self.failing(*fault)
        try:
            work(archive)
            ended = True
        except ArchiveError:
            ended = False
        finally:
            heal()
        for again in (False, True):
            # First the same process continues, then another one opens the store.
            if again:
                archive.close()
                archive = Archive(root, lambda: NOW)
            else:
                archive.refresh()
            shown = contents(archive)
            for one in archive.list(DRAFTS):
                self.assertIn(f"Subject: {one.subject}\r\n".encode(), archive.octets(one.key), f"{fault}: index")
            if ended:
                self.assertEqual(shown, wanted, f"{fault}: said to be done")
            elif is_whole:
                self.assertEqual(shown, self.before, f"{fault}: said to have failed")
            elif shown == wanted:
                # Only the last sync failed, after the work was done.
                continue
            else:
                there = octets_of(shown)
                self.assertFalse(octets_of(self.before) - may_lose - there, f"{fault}: lost")
                self.assertFalse(there - octets_of(self.before), f"{fault}: doubled")
        if not ended:
            work(archive)
            self.assertEqual(contents(archive), wanted, f"{fault}: done once more")
        archive.rebuild()
        self.assertEqual(contents(archive), wanted, f"{fault}: by a new index")
        archive.close()
        Archive(root, lambda: NOW).close()
        self.assertEqual([*root.rglob(".*.part")], [], f"{fault}: left behind")
        shutil.rmtree(root)
        return bool(failed)

    def key(self, archive: Archive, folder: Folder = IN) -> list[str]:
        """Return the keys of the messages in a folder."""
        return [one.key for one in archive.list(folder)]

    def test_messages_are_kept_all_or_none(self) -> None:
        additions = [Addition(message(f"new {one}"), IN, f"n{one}", Flag.FLAGGED, ("u",)) for one in range(3)]
        fresh = Counter((one.octets, IN, one.flags, (*one.tags,)) for one in additions)
        self.each_fault(lambda archive: archive.add_many(additions), lambda before: before + fresh)

    def test_a_batch_of_a_fetch_is_stored_whole_or_not_at_all(self) -> None:
        additions = [Addition(message(f"new {one}"), IN, f"n{one}") for one in range(3)]
        fresh = Counter((one.octets, IN, Flag.NONE, ()) for one in additions)

        def work(archive: Archive) -> None:
            with archive.writer(lambda: 0.0) as writer:
                writer.add(additions)

        self.each_fault(work, lambda before: before + fresh)

    def test_an_import_is_complete_or_can_be_continued(self) -> None:
        mbox = self.root.parent / "mbox"
        mbox.write_bytes(b"".join(b"From x\n" + message(name) + b"\n" for name in ("a", "b", "b")))
        fresh = Counter((message(name), IN, Flag.NONE, ()) for name in ("a", "b", "b"))
        self.each_fault(lambda archive: Importer(archive, IN).import_mbox(mbox), lambda before: before + fresh)

    def test_marks_are_set_or_not(self) -> None:
        def done(before: Counter[Message]) -> Counter[Message]:
            return Counter(
                (octets, folder, flags | Flag.ANSWERED if folder == IN else flags, tags)
                for octets, folder, flags, tags in before
            )

        self.each_fault(lambda archive: archive.set_flags(self.key(archive), add=Flag.ANSWERED), done)

    def test_moving_to_another_account_loses_no_message_and_no_mark(self) -> None:
        def done(before: Counter[Message]) -> Counter[Message]:
            return Counter((one[0], OTHER, *one[2:]) if one[1] == IN else one for one in before)

        self.each_fault(lambda archive: archive.move(self.key(archive), OTHER), done, is_whole=False)

    def test_deleting_moves_to_trash_and_loses_nothing(self) -> None:
        def done(before: Counter[Message]) -> Counter[Message]:
            return Counter((one[0], Folder(ME, TRASH), *one[2:]) if one[1] == IN else one for one in before)

        self.each_fault(lambda archive: archive.delete(map(archive.get, self.key(archive))), done, is_whole=False)

    def test_emptying_trash_removes_nothing_else(self) -> None:
        gone = Counter({message("gone"): 1})
        self.each_fault(
            lambda archive: archive.empty_trash(ME),
            lambda before: Counter(one for one in before if one[1].name != TRASH),
            is_whole=False,
            may_lose=gone,
        )

    def test_a_draft_is_the_old_one_or_the_new_one(self) -> None:
        def done(before: Counter[Message]) -> Counter[Message]:
            return Counter((message("new"), *one[1:]) if one[1] == DRAFTS else one for one in before)

        self.each_fault(
            lambda archive: archive.replace(self.key(archive, DRAFTS)[0], message("new")), done, is_whole=False
        )

    def test_folders_come_and_go_and_leave_every_message(self) -> None:
        def work(archive: Archive) -> None:
            archive.add_account("third@example.test")
            archive.add_folder(Folder(ME, "Fresh"))
            if any(count.folder == MINE for count in archive.folders()):
                archive.rename_folder(MINE, "Yours")
            if any(count.folder.name == "Yours" for count in archive.folders()):
                archive.remove_folder(Folder(ME, "Yours"))

        self.each_fault(work, lambda before: before)

    def test_the_index_is_rebuilt_now_or_later(self) -> None:
        self.each_fault(lambda archive: archive.rebuild(), lambda before: before)

    def test_a_store_that_cannot_be_opened_is_opened_later(self) -> None:
        def work(archive: Archive) -> None:
            Archive(Path(archive._root), lambda: NOW).close()

        self.each_fault(work, lambda before: before)
