"""After a crash at any step, or on a full disk, stored messages are intact and others can be added again."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.python.monkey import MonkeyPatcher

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.import_export import Importer
from emailsys.client.archive.values import Addition, ArchiveError, ArchiveFull, Flag, Folder
from tests.unit.client.archive.test_archive import IN, ME, NOW, ArchiveCase, message

# System calls of a writer. The child dies right before the call with the given number.
_CHILD: Final = """
import os, sys
from pathlib import Path
from emailsys.client.archive import archive, files
from emailsys.client.archive.values import Addition, Flag, Folder
from tests.unit.client.archive.test_archive import IN, ME, NOW, message

store = archive.Archive(Path(sys.argv[1]), lambda: NOW)
last, count = int(sys.argv[2]), 0

def dying(call):
    def counted(*arguments, **named):
        global count
        count += 1
        if count > last:
            os._exit(9)
        return call(*arguments, **named)
    return counted

for name in ("fsync", "replace", "rename", "write", "unlink", "utime"):
    setattr(os, name, dying(getattr(os, name)))
sqlite = store._index.connection
store._index.transaction = dying(store._index.transaction)
{work}
os._exit(0)
"""
_ADDING: Final = """
store.add_many([Addition(message(str(n)), IN, f"s{n}", Flag.FLAGGED, ("t",)) for n in range(3)])
"""
_IMPORTING: Final = """
from emailsys.client.archive.import_export import Importer
Importer(store, IN).import_mbox(Path(sys.argv[1]).parent / "mbox")
"""
_MOVING: Final = """
store.move([one.key for one in store.list(IN)], Folder(ME, "Archive"))
"""
_MARKING: Final = """
store.set_flags([one.key for one in store.list(IN)], add=Flag.SEEN)
"""
_REPLACING: Final = """
store.replace(store.list(IN)[0].key, message("new", "other"))
"""


class Killed(ArchiveCase):
    def die_at_each_step(self, work: str, prepare: Callable[[Archive], None], check: Callable[[Archive], None]) -> None:
        """Run the work in child processes that die at step 1, 2, 3, ..., until one completes."""
        program = Path(self.mktemp()).with_suffix(".py")
        program.write_text(_CHILD.replace("{work}", work))
        for step in range(60):
            root = Path(self.mktemp()) / "mail"
            archive = Archive(root, lambda: NOW)
            archive.add_account(ME)
            prepare(archive)
            archive.close()
            ended = subprocess.run(
                [sys.executable, str(program), str(root), str(step)], check=False, capture_output=True
            )
            self.assertIn(ended.returncode, (0, 9), ended.stderr.decode())
            archive = Archive(root, lambda: NOW)
            check(archive)
            archive.close()
            if ended.returncode == 0:
                self.assertGreater(step, 3)
                return
        self.fail("it never came through")

    def prepare(self, archive: Archive) -> None:
        archive.add_many([Addition(message(str(number)), IN, f"s{number}") for number in range(2)])

    def test_keeping_is_once_and_whole(self) -> None:
        """The messages are added again, as after a crash: none is duplicated, missing, or torn."""

        def check(archive: Archive) -> None:
            for one in archive.list(IN):
                self.assertEqual(archive.octets(one.key), message(one.subject))
                self.assertEqual((one.flags, one.tags), (Flag.FLAGGED, ("t",)))
            archive.add_many([Addition(message(str(number)), IN, f"s{number}") for number in range(3)])
            self.assertEqual(sorted(one.subject for one in archive.search("hello")), ["0", "1", "2"])

        self.die_at_each_step(_ADDING, lambda archive: None, check)

    def test_an_import_goes_on_where_it_was_killed(self) -> None:
        """Repeating the import stores each message once, and leaves no unfinished files."""

        def prepare(archive: Archive) -> None:
            mbox = archive._root.parent / "mbox"
            mbox.write_bytes(b"".join(b"From x\n" + message(str(number)) + b"\n" for number in (0, 1, 1)))

        def check(archive: Archive) -> None:
            self.assertEqual([*archive._root.rglob(".*.part")], [])
            before = len(archive.list(IN))
            importing = Importer(archive, IN)
            importing.import_mbox(archive._root.parent / "mbox")
            self.assertEqual((importing.already_stored, importing.added), (before, 3 - before))
            self.assertEqual(sorted(one.subject for one in archive.search("hello")), ["0", "1", "1"])

        self.die_at_each_step(_IMPORTING, prepare, check)

    def test_moving_loses_nothing(self) -> None:
        def check(archive: Archive) -> None:
            self.assertEqual(sorted(one.subject for one in archive.search("hello")), ["0", "1"])
            for one in archive.search("hello"):
                self.assertEqual(archive.octets(one.key), message(one.subject))

        self.die_at_each_step(_MOVING, self.prepare, check)

    def test_marking_is_done_or_not_done(self) -> None:
        def check(archive: Archive) -> None:
            flags = {one.flags for one in archive.list(IN)}
            self.assertIn(flags, ({Flag.SEEN}, {Flag.NONE}))

        self.die_at_each_step(_MARKING, self.prepare, check)

    def test_a_draft_is_the_old_one_or_the_new_one(self) -> None:
        def check(archive: Archive) -> None:
            octets = {archive.octets(one.key) for one in archive.list(IN)}
            self.assertEqual(len(octets), 2)
            self.assertTrue(octets < {message("0"), message("1"), message("new", "other")})

        self.die_at_each_step(_REPLACING, self.prepare, check)


class Full(ArchiveCase):
    """A full disk raises an error, and earlier messages stay intact."""

    def refuse(self, name: str, at: int, number: int = errno.ENOSPC) -> MonkeyPatcher:
        """Make a system call fail from a given call on, until it is restored."""
        original: Callable[..., Any] = getattr(os, name)
        calls = 0

        def refused(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= at:
                raise OSError(number, os.strerror(number))
            return original(*arguments, **named)

        refusing: MonkeyPatcher = self.patch(os, name, refused)
        return refusing

    def test_nothing_is_kept_by_halves(self) -> None:
        before = self.keep(message("before"))
        additions = [Addition(message(str(number)), IN, f"s{number}") for number in range(2)]
        for name, at in (("write", 2), ("write", 3), ("fsync", 1), ("fsync", 3), ("replace", 2)):
            refusing = self.refuse(name, at)
            self.assertRaises(ArchiveFull, self.archive.add_many, additions)
            refusing.restore()
            self.assertEqual([one.subject for one in self.archive.search("hello")], ["before"])
            self.assertEqual(
                [path.name for path in (self.root / ME / "Inbox").iterdir()], [self.archive.path(before).name]
            )
        self.archive.add_many(additions)
        self.assertEqual(len(self.archive.list(IN)), 3)

    def test_a_journal_that_cannot_be_written_changes_no_mark(self) -> None:
        key = self.keep(message())
        self.archive.set_tags([key], add=["t"])
        self.refuse("fsync", 1)
        self.assertRaises(ArchiveFull, self.archive.set_tags, [key], ["u"])
        self.assertEqual(self.archive.get(key).tags, ("t",))

    def test_a_folder_that_may_not_be_written_is_told_from_a_full_disk(self) -> None:
        self.refuse("open", 1, errno.EACCES)
        refused = self.assertRaises(ArchiveError, self.keep, message())
        self.assertNotIsInstance(refused, ArchiveFull)
        self.assertIn("Permission denied", str(refused))


class Together(ArchiveCase):
    def test_two_processes_that_fetch_the_same_mail_keep_it_once(self) -> None:
        program = Path(self.mktemp()).with_suffix(".py")
        program.write_text(
            _CHILD.replace(
                "{work}",
                'for n in range(20): store.add_many([Addition(message(str(n)), IN, f"s{n}", tags=("t",))])',
            )
        )
        command = [sys.executable, str(program), str(self.root), "1000000"]
        children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
        for child in children:
            _, said = child.communicate()
            self.assertEqual(child.returncode, 0, said)
        self.assertEqual(sorted(int(one.subject) for one in self.archive.list(IN)), list(range(20)))
        self.archive.rebuild()
        self.assertEqual(self.archive.tags(), {"t": 20})
        self.assertEqual(self.archive.list(Folder(ME, "Archive")), [])
