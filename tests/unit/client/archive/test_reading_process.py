"""Imports whose messages are read by a second process."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase, TestCase

from emailsys.client.archive import import_export
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.import_export import Importer
from emailsys.client.archive.reading_process import ReadingProcess, serve
from emailsys.client.archive.values import Folder
from tests.unit.client.archive.test_archive import NOW, ArchiveCase

#: Runs in its own process, because a fork requires one without threads. Prints what was stored, as JSON.
_PROGRAM: Final = """
import json, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from emailsys.client.archive import import_export, reading_process
root, mbox, kills = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "kill"
now = lambda: datetime(2026, 11, 23, 12, tzinfo=UTC)
os.cpu_count = lambda: 2
import_export._BATCH = 4
reading = reading_process.start(root, now)
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import Folder
archive = Archive(root, now)
archive.add_account("me")
told = []
def progress(number):
    told.append(number)
    if kills and len(told) == 1:
        os.kill(reading.process, signal.SIGKILL)
importing = import_export.Importer(archive, Folder("me", "Inbox"), progress, reading)
importing.import_mbox(mbox)
reading.close()
found = archive.list(Folder("me", "Inbox"))
print(json.dumps([importing.added, told, sorted(one.subject for one in found), len(archive.search("wordy"))]))
archive.close()
"""
_MESSAGES: Final = 18


def write_mbox(path: Path) -> None:
    path.write_bytes(
        b"".join(
            b"From x Mon Jan  5 10:00:00 2026\nFrom: a@example.org\nSubject: s%02d\n\nwordy %d\n\n" % (number, number)
            for number in range(_MESSAGES)
        )
    )


class ForkTests(TestCase):
    """A program of its own imports an mbox with a second process."""

    def imported(self, kills: str) -> object:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        write_mbox(folder / "old.mbox")
        program = [sys.executable, "-c", _PROGRAM, str(folder / "mail"), str(folder / "old.mbox"), kills]
        return json.loads(subprocess.run(program, check=True, capture_output=True).stdout)

    def test_all_messages_are_stored_and_found(self) -> None:
        """Each batch is stored while the next one is read. The process ends with the import."""
        told = [4, 8, 12]
        subjects = [f"s{number:02}" for number in range(_MESSAGES)]
        self.assertEqual(self.imported("keep"), [_MESSAGES, told, subjects, _MESSAGES])
        self.assertEqual(self.imported("kill"), [_MESSAGES, told, subjects, _MESSAGES])

    if sys.platform in ("win32", "darwin"):
        skip = "no fork"


class BatchTests(ArchiveCase):
    """The same in one process: a thread stands for the second one."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(import_export, "_BATCH", 4)
        self.mbox = Path(self.mktemp())
        write_mbox(self.mbox)
        asked, requests = os.pipe()
        answers, answered = os.pipe()
        self.requests, self.answered = os.fdopen(asked, "rb"), os.fdopen(answered, "wb")
        self.reading = ReadingProcess(0, os.fdopen(requests, "wb", 0), os.fdopen(answers, "rb"), lambda: NOW)
        self.thread = threading.Thread(target=serve, args=(self.archive.root, self.requests, self.answered))
        self.addCleanup(self.end)

    def end(self) -> None:
        waited: list[int] = []
        self.patch(os, "waitpid", lambda process, options: waited.append(process))
        self.reading.close()
        self.assertEqual(waited, [0])
        if self.thread.ident is not None:
            self.thread.join()
        self.requests.close()
        self.answered.close()

    def rows(self, archive: Archive) -> list[tuple[object, ...]]:
        return archive._index.connection.execute("SELECT * FROM messages ORDER BY id").fetchall()

    def test_the_index_is_that_of_an_import_by_one_process(self) -> None:
        """Row for row, with the same file names."""
        self.thread.start()
        folder = Folder("me@example.test", "Inbox")
        importing = Importer(self.archive, folder, reading=self.reading)
        importing.import_mbox(self.mbox)
        importing.import_mbox(self.mbox)
        rows = self.rows(self.archive)
        self.assertEqual((importing.added, len(rows)), (2 * _MESSAGES, 2 * _MESSAGES))
        self.archive.purge([one.key for one in self.archive.list(folder)])
        again = Importer(self.archive, folder)
        again.import_mbox(self.mbox)
        again.import_mbox(self.mbox)
        self.assertEqual(self.rows(self.archive), rows)

    def test_without_answers_this_process_reads(self) -> None:
        """The other one has died: nothing is lost."""
        self.requests.close()
        self.answered.close()
        importing = Importer(self.archive, Folder("me@example.test", "Inbox"), reading=self.reading)
        importing.import_mbox(self.mbox)
        self.assertEqual(len(self.rows(self.archive)), _MESSAGES)


class ServeTests(SynchronousTestCase):
    """What the second process does with its pipes."""

    def test_a_batch_without_its_end_is_dropped(self) -> None:
        """The first process died while it wrote."""
        root = Path(self.mktemp())
        root.mkdir()
        batch = pickle.dumps([("a" * 26, b"Subject: x\n\ny\n", NOW)])
        answered = io.BytesIO()
        serve(root, io.BytesIO(batch + batch[:-9]), answered)
        ((name, fields),) = pickle.loads(answered.getvalue())
        self.assertEqual((name.endswith(f"{'a' * 26}.eml"), fields.subject), (True, "x"))
