"""Unfinished messages are kept while their writer lives, and removed once it is dead."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.files import rewrite, spool_at
from emailsys.client.archive.parts import Parts
from emailsys.client.archive.staging import ARRIVING, Staging
from emailsys.client.archive.values import Addition, ArchiveError, Folder
from emailsys.client.base.process_lock import LockTaken, ProcessLock
from tests.unit.client.archive.test_archive import IN, ME, NOW, ArchiveCase, message

_CHECKOUT: Final = str(Path(__file__).resolve().parents[4])
_LONG_AGO: Final = datetime(1999, 12, 31, tzinfo=UTC)
# Stages a message, reports that, and lives until it is killed or its input ends.
_WRITER: Final = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from emailsys.client.archive.staging import Staging
from emailsys.client.archive.values import Addition
from tests.unit.client.archive.test_archive import IN, message
additions = [Addition(message(), IN, arrived=datetime(1999, 12, 31, tzinfo=UTC))]
with Staging(Path(sys.argv[1])).staged(additions, datetime.now(UTC)):
    print("spooled", flush=True)
    sys.stdin.read()
"""


class UnfinishedMessages(ArchiveCase):
    def parts(self) -> list[str]:
        """Return the unfinished files of the store, and the lock files of their writers."""
        hidden = self.root.rglob(".*")
        return sorted(path.name for path in hidden if path.suffix in (".part", ".owner"))

    def writer(self) -> subprocess.Popen[bytes]:
        """Start another process that has staged a message of 1999."""
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(self.root)],
            env={**os.environ, "PYTHONPATH": _CHECKOUT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), b"spooled\n")
        return process

    def test_old_mail_is_taken_in_while_other_commands_open_the_store(self) -> None:
        addition = Addition(message(), IN, arrived=_LONG_AGO)
        with self.archive._staging.staged([addition], NOW) as staged:
            self.opened()
            with self.archive.writer() as writer:
                writer.name(staged)
        self.assertEqual(self.archive.list(IN)[0].subject, "one")

    def test_the_message_of_another_process_is_left_while_it_lives_and_removed_once_it_is_killed(
        self,
    ) -> None:
        process = self.writer()
        self.opened()
        self.assertEqual(len(self.parts()), 2)
        process.kill()
        process.wait()
        self.opened()
        self.assertEqual(self.parts(), [])

    def test_a_writer_that_ends_leaves_nothing_behind(self) -> None:
        process = self.writer()
        process.communicate()
        self.opened()
        self.assertEqual(self.parts(), [])
        staging = Staging(self.root)
        with staging.staged([Addition(message(), IN)], NOW):
            self.assertEqual(len(self.parts()), 2)
        staging.close()
        staging.close()
        self.assertEqual(self.parts(), [])

    def test_unfinished_files_of_older_versions_are_removed(self) -> None:
        (self.root / ARRIVING / ".00112233445566aa.part").write_bytes(b"half a mess")
        (self.root / ARRIVING / "something else").write_bytes(b"not ours")
        self.opened()
        self.assertEqual(self.parts(), [])
        self.assertEqual(os.listdir(self.root / ARRIVING), ["something else"])

    def test_a_draft_or_a_journal_that_was_not_finished_is_removed_by_the_next_writer(self) -> None:
        """Their writer held the lock of the store, which another process holds now."""
        key = self.keep(message())
        for folder in (self.root / ME / "Drafts", self.root / ME / "Inbox", self.root / ME):
            spool_at(str(folder / ".0011223344556677.part"), b"half").sync()
        self.opened()
        self.assertEqual([name for name in self.parts() if name.endswith(".part")], [])
        self.assertEqual(self.archive.octets(key), message())

    def test_a_folder_with_an_unfinished_file_is_empty(self) -> None:
        folder = Folder(ME, "Mine")
        self.archive.add_folder(folder)
        (self.root / ME / "Mine" / ".0011223344556677.part").write_bytes(b"half")
        self.archive.remove_folder(folder)
        self.assertFalse((self.root / ME / "Mine").exists())

    def test_a_store_that_was_removed_does_not_come_back_as_a_lock_file(self) -> None:
        folder = Path(self.mktemp())
        self.assertRaises(ArchiveError, Parts(folder).new_path)
        self.assertFalse(folder.exists())

    def test_the_next_writer_of_a_file_removes_what_a_dead_one_left_of_it(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        original = os.replace

        def dying(source: Any, target: Any) -> None:
            os.link(source, f"{source}.part")
            original(source, target)

        dead = self.patch(os, "replace", dying)
        rewrite(folder / "ids", b"one")
        rewrite(folder / "others", b"other")
        dead.restore()
        self.assertEqual(len(os.listdir(folder)), 4)
        rewrite(folder / "ids", b"two")
        self.assertEqual(len(os.listdir(folder)), 3, "the other file's writer may be alive")
        self.assertEqual((folder / "ids").read_bytes(), b"two")

    def test_a_full_disk_does_not_leave_a_lock_held(self) -> None:
        """The process id in the file is only informative: without space for it, the lock works."""
        path = Path(self.mktemp()) / "claim"

        def full(*given: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        writing = self.patch(os, "write", full)
        claim = ProcessLock(path)
        writing.restore()
        self.assertRaises(LockTaken, ProcessLock, path)
        claim.remove()
        ProcessLock(path).remove()
        self.assertFalse(path.exists())

    def test_an_archive_that_is_closed_gives_its_names_back(self) -> None:
        archive = Archive(self.root, lambda: NOW)
        archive.add(Addition(message(), IN))
        self.assertEqual(len(self.parts()), 1)
        archive.close()
        self.assertEqual(self.parts(), [])
