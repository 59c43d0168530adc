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

# A process that imports the archive once. For each line "ROOT STEP" it forks a child, which works on the archive in
# ROOT and dies right before its system call of that number. The answer is the child's exit status.
_PARENT: Final = """
import os, sys, traceback
from pathlib import Path
from emailsys.client.archive import archive, files
from emailsys.client.archive.import_export import Importer
from emailsys.client.archive.values import Addition, Flag, Folder
from tests.unit.client.archive.test_archive import IN, ME, NOW, message

def work(root, last):
    count = 0

    def dying(call):
        def counted(*arguments, **named):
            nonlocal count
            count += 1
            if count > last:
                os._exit(9)
            return call(*arguments, **named)
        return counted

    store = archive.Archive(root, lambda: NOW)
    for name in ("fsync", "replace", "rename", "write", "unlink", "utime"):
        setattr(os, name, dying(getattr(os, name)))
    store._index.transaction = dying(store._index.transaction)
    {work}

for line in sys.stdin:
    root, step = line.rsplit(maxsplit=1)
    child = os.fork()
    if child == 0:
        try:
            work(Path(root), int(step))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_ADDING: Final = """
store.add_many([Addition(message(str(n)), IN, f"s{n}", Flag.FLAGGED, ("t",)) for n in range(3)])
"""
_IMPORTING: Final = """
Importer(store, IN).import_mbox(root.parent / "mbox")
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


class Victim:
    """A process that does work in children.

    @param program: where its source is written.
    """

    def __init__(self, program: Path, work: str) -> None:
        program.write_text(_PARENT.replace("{work}", work.strip()))
        self._process = subprocess.Popen(
            [sys.executable, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, root: Path, step: int) -> None:
        """Start a child that dies at a step."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{root.absolute()} {step}\n")
        self._process.stdin.flush()

    def result(self) -> int:
        """Return the exit status of the child: 9 if it died, 0 if it did all of the work."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if answer not in ("0", "9"):
            raise AssertionError(self._process.communicate()[1])
        return int(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Killed(ArchiveCase):
    def die_at_each_step(self, work: str, prepare: Callable[[Archive], None], check: Callable[[Archive], None]) -> None:
        """Run the work in child processes that die at step 1, 2, 3, ..., until one completes."""
        victim = Victim(Path(self.mktemp()).with_suffix(".py"), work)
        self.addCleanup(victim.close)
        for step in range(60):
            root = Path(self.mktemp()) / "mail"
            archive = Archive(root, lambda: NOW)
            archive.add_account(ME)
            prepare(archive)
            archive.close()
            victim.start(root, step)
            status = victim.result()
            archive = Archive(root, lambda: NOW)
            check(archive)
            archive.close()
            if status == 0:
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
        work = 'for n in range(20): store.add_many([Addition(message(str(n)), IN, f"s{n}", tags=("t",))])'
        victims = [Victim(Path(self.mktemp()).with_suffix(".py"), work) for _ in range(2)]
        for victim in victims:
            self.addCleanup(victim.close)
            victim.start(self.root, 1_000_000)
        self.assertEqual([victim.result() for victim in victims], [0, 0])
        self.assertEqual(sorted(int(one.subject) for one in self.archive.list(IN)), list(range(20)))
        self.archive.rebuild()
        self.assertEqual(self.archive.tags(), {"t": 20})
        self.assertEqual(self.archive.list(Folder(ME, "Archive")), [])
