"""The worker process stores every message once, and a fetch also succeeds without it."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive.archive import INDEX
from emailsys.client.archive.files import new_key
from emailsys.client.archive.values import Addition, ArchiveFull, Flag, Folder, NoSuchFolder
from emailsys.client.archive.worker import WorkerArchive, WorkerProcess, serve
from tests.unit.client.archive.test_archive import IN, ME, ArchiveCase, message

_CHECKOUT: Final = str(Path(__file__).resolve().parents[4])
# Runs in its own process, because a fork requires one without threads. Prints what was stored, as JSON.
_PROGRAM: Final = """
import json, os, sys
from datetime import UTC, datetime
from pathlib import Path
from emailsys.client.archive import worker
os.cpu_count = lambda: int(sys.argv[2])
now = lambda: datetime(2026, 11, 23, 12, tzinfo=UTC)
second = worker.start(Path(sys.argv[1]), now)
if second is None:
    print(json.dumps(None))
    sys.exit()
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import Addition, Folder
folder = Folder("me@example.test", "Inbox")
second.open()
made = second.add_account(folder.account)
additions = [Addition(b"Subject: %d\\r\\n\\r\\ntext\\r\\n" % n, folder, str(n)) for n in range(40)]
kept = second.add(additions)
refused = second.add([Addition(b"text\\r\\n", Folder("me@example.test", "Nowhere"), "lost")])
again = second.add(additions[:1])
known = second.known(["0", "none"])
second.close()
second.close()
os.waitpid(second.process, 0)
after = second.add(additions)
archive = Archive(Path(sys.argv[1]), now)
there = archive.list(folder)
print(json.dumps([made, kept, sorted(one.key for one in there), refused, again, after, known]))
archive.close()
"""


# The first process ends right after the worker's answer. The worker writes the index only after that.
_ORPHAN: Final = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from emailsys.client.archive import worker
from emailsys.client.archive.writer import Writer
write_index = Writer._write_index
ended, alive = os.pipe()
def late(*given):
    os.close(alive)
    os.read(ended, 1)
    write_index(*given)
Writer._write_index = late
os.cpu_count = lambda: 2
second = worker.start(Path(sys.argv[1]), lambda: datetime(2026, 11, 23, 12, tzinfo=UTC))
second._requests.write({asked})
os.write(1, second._answers.readline())
os._exit(0)
"""


def _asked(additions: list[Addition], folder: str = "Inbox") -> bytes:
    """Return the request that adds messages."""
    head = ["add", [[ME, folder, one.source, len(one.octets), int(one.flags), *one.tags] for one in additions]]
    return json.dumps(head).encode() + b"\n" + b"".join(one.octets for one in additions)


def fetched(count: int) -> list[Addition]:
    """Return messages as a fetch adds them."""
    return [Addition(message(f"number {number}"), IN, f"pop3:{number}") for number in range(count)]


class ServeTests(ArchiveCase):
    """How the worker serves requests."""

    def answers(self, asked: bytes, has_request: Callable[[float], bool] = lambda seconds: True) -> list[object]:
        said = io.BytesIO()
        serve(self.opened, io.BytesIO(asked), said, has_request)
        return [json.loads(line) for line in said.getvalue().splitlines()]

    def test_batches_are_stored_and_answered_by_their_keys(self) -> None:
        first, second = fetched(3)[:2], fetched(3)[2:]
        answers = self.answers(_asked(first) + _asked(second))
        self.assertEqual(answers, [[new_key("pop3:0"), new_key("pop3:1")], [new_key("pop3:2")]])
        self.assertEqual(self.archive.octets(new_key("pop3:1")), first[1].octets)

    def test_an_incomplete_batch_of_a_dead_first_process_is_dropped(self) -> None:
        asked = _asked(fetched(2))
        self.assertEqual(self.answers(asked[:-1]), [])
        self.assertEqual(self.answers(asked[:10]), [])
        self.assertEqual(self.archive.list(IN), [])

    def test_a_failed_batch_is_left_to_the_first_process_and_the_next_batch_is_stored(self) -> None:
        self.assertEqual(self.answers(_asked(fetched(1), "Nowhere") + _asked(fetched(1))), [None, [new_key("pop3:0")]])

    def test_the_index_is_written_when_the_worker_is_idle_and_at_the_end(self) -> None:
        """During a fetch, answers come first."""
        indexed: list[int] = []

        def has_request(seconds: float) -> bool:
            indexed.append(len(self.archive.list(IN)))
            return len(indexed) != 2

        self.answers(b"".join(_asked([one]) for one in fetched(4)), has_request)
        # No request came for a while after the second batch, so the lock was released.
        self.assertEqual(indexed, [0, 0, 2, 2])
        self.assertEqual(len(self.archive.list(IN)), 4)


class WriterTests(ArchiveCase):
    """Messages are named first, and indexed after that."""

    def setUp(self) -> None:
        super().setUp()
        self.seconds = 0.0
        self.writer = self.opened().writer(lambda: self.seconds)

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.root / ME / "Inbox").iterdir())

    def test_named_messages_are_on_disk_and_after_a_flush_in_the_index(self) -> None:
        keys = self.writer.add(fetched(3))
        self.assertEqual((len(self.files()), self.archive.list(IN)), (3, []))
        self.writer.flush()
        self.assertEqual(sorted(one.key for one in self.archive.list(IN)), sorted(keys))
        self.assertEqual(len(self.archive.search("hello")), 3)
        self.assertFalse(self.writer.has_lock)

    def test_the_same_source_is_stored_once_before_and_after_a_flush(self) -> None:
        first = self.writer.add(fetched(2))
        self.assertEqual(self.writer.add([*fetched(2), *fetched(3)])[:2], first)
        self.writer.flush()
        self.assertEqual(self.writer.add(fetched(1)), first[:1])
        self.writer.flush()
        self.assertEqual(len(self.archive.list(IN)), 3)
        self.assertEqual(len(self.files()), 3)
        self.assertFalse(self.writer.has_lock, "what was here already is waited for by nobody")

    def test_a_flush_is_due_after_a_second_a_thousand_messages_or_16_mib(self) -> None:
        self.writer.add(fetched(1))
        self.assertFalse(self.writer.is_flush_due)
        self.seconds = 0.9
        self.writer.add(fetched(2))
        self.assertFalse(self.writer.is_flush_due)
        self.seconds = 1.0
        self.assertTrue(self.writer.is_flush_due)
        self.writer.flush()
        self.writer.add(fetched(1002))
        self.assertTrue(self.writer.is_flush_due)
        self.writer.flush()
        self.writer.add([Addition(b"x" * 16 * 1024 * 1024, IN, "large")])
        self.assertTrue(self.writer.is_flush_due)
        self.writer.flush()

    def test_a_disk_that_fills_up_loses_no_message_named_before(self) -> None:
        before = self.writer.add(fetched(2))
        original = os.replace
        calls: list[object] = []

        def full(*given: Any) -> None:
            calls.append(given)
            if len(calls) == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            original(*given)

        replacing = self.patch(os, "replace", full)
        self.assertRaises(ArchiveFull, self.writer.add, fetched(5))
        replacing.restore()
        self.assertFalse(self.writer.has_lock)
        self.assertEqual(len(self.files()), 2)
        # The next writer compares files and index.
        self.archive.refresh()
        self.assertEqual(sorted(one.key for one in self.archive.list(IN)), sorted(before))
        self.assertEqual(len(self.writer.add(fetched(5))), 5)
        self.writer.flush()
        self.assertEqual(len(self.archive.list(IN)), 5)

    def test_a_file_of_another_program_is_found_later(self) -> None:
        self.writer.add(fetched(1))
        (self.root / ME / "Inbox" / "theirs.eml").write_bytes(message("theirs"))
        os.utime(self.root / ME / "Inbox", (1, 1))
        self.writer.add(fetched(2))
        self.writer.flush()
        self.archive.refresh()
        self.assertIn("theirs", [one.subject for one in self.archive.list(IN)])

    def test_a_file_removed_before_the_flush_is_not_in_the_index(self) -> None:
        self.writer.add(fetched(2))
        (self.root / ME / "Inbox" / self.files()[0]).unlink()
        self.writer.flush()
        self.assertEqual(len(self.archive.list(IN)), 1)


class WorkerArchiveTests(ArchiveCase):
    """How the first process uses the worker."""

    def second(self, answer: bytes) -> tuple[WorkerProcess, Path]:
        """Return a worker with scripted answers, and the file of its requests."""
        said, asked = Path(self.mktemp()), Path(self.mktemp())
        said.write_bytes(answer)
        second = WorkerProcess(0, asked.open("wb", 0), said.open("rb"))
        self.addCleanup(second.close)
        return second, asked

    def store(self, answer: bytes) -> tuple[WorkerArchive, Path]:
        second, asked = self.second(answer)
        store = WorkerArchive(second, self.root, self.archive._now, lambda: self.archive)
        self.addCleanup(store.close)
        return store, asked

    def test_folder_and_marks_reach_the_archive(self) -> None:
        """Of messages that the worker stages, and of those that it only names after it has read their headers."""
        store, asked = self.store(b'["a key"]\n' * 2)
        place = Folder(ME, "Archive")
        self.assertTrue(store.has_folder(place))
        self.assertFalse(store.has_folder(Folder(ME, "Nowhere")))
        self.assertFalse(store.has_folder(Folder("nobody", "Nowhere")))
        # As on a file system that ignores case.
        self.patch(Path, "is_dir", lambda path: True)
        self.assertFalse(store.has_folder(Folder(ME, place.name.swapcase())))

        def filed(first: int, count: int) -> list[Addition]:
            numbers = range(first, first + count)
            return [Addition(message(str(one)), place, f"pop3:{one}", Flag.SEEN, ("a", "t")) for one in numbers]

        store.add_many(filed(0, 16))
        serve(self.opened, io.BytesIO(asked.read_bytes()), io.BytesIO(), lambda _: True)
        with store._own_staging().staged(filed(100, 16), self.archive._now()) as staged:
            store._worker.name(staged)
            request = asked.read_bytes().splitlines(keepends=True)[-1]
            serve(self.opened, io.BytesIO(request), io.BytesIO(), lambda _: True)
        found = self.archive.list(place)
        self.assertEqual(len(found), 32)
        self.assertEqual({(one.flags, one.tags) for one in found}, {(Flag.SEEN, ("a", "t"))})
        named = {path.name.partition(".")[0] for path in (self.root / ME / place.name).iterdir()}
        self.assertEqual(named, {f"2026-11-01 1000 Alice - {one}" for one in (*range(16), *range(100, 116))})

    def test_the_worker_does_what_is_requested(self) -> None:
        store, asked = self.store(b'true\n{"pop3:0": "a key"}\n["another"]\n')
        store.add_account("new@example.test")
        self.assertEqual(store.known(["pop3:0"]), {"pop3:0": "a key"})
        self.assertEqual(store.add_many(fetched(2)), ["another"])
        self.assertEqual(self.archive.list(IN), [])
        said = io.BytesIO()
        with asked.open("rb") as requests:
            serve(self.opened, requests, said, lambda seconds: True)
        answers = [json.loads(line) for line in said.getvalue().splitlines()]
        self.assertEqual(answers, [True, {}, [new_key("pop3:0"), new_key("pop3:1")]])
        self.assertIn("new@example.test", self.archive.accounts())

    def test_stored_messages_are_known_before_they_are_indexed(self) -> None:
        """Another session of the same fetch asks the worker."""
        known = json.dumps(["known", ["pop3:0", "pop3:9"]]).encode() + b"\n"
        said = io.BytesIO()
        serve(self.opened, io.BytesIO(_asked(fetched(1)) + known), said, lambda seconds: True)
        self.assertEqual(json.loads(said.getvalue().splitlines()[1]), {"pop3:0": new_key("pop3:0")})

    def test_the_first_process_does_what_a_dead_or_failed_worker_has_not_answered(self) -> None:
        for number, answer in enumerate((b"", b"[", b"null\nnull\nnull\n")):
            with self.subTest(answer=answer):
                store, _asked = self.store(answer)
                store.add_account(f"new{number}@example.test")
                self.assertIn(f"new{number}@example.test", self.archive.accounts())
                self.assertEqual(store.add_many(fetched(3))[0], new_key("pop3:0"))
                self.assertEqual(len(self.archive.list(IN)), 3)
                self.assertEqual(store.known(["pop3:0"]), {"pop3:0": new_key("pop3:0")})

    def test_while_the_worker_is_busy_the_first_process_writes_and_the_worker_names(self) -> None:
        store, asked = self.store(b'["a key"]\n')
        self.patch(WorkerProcess, "is_busy", True)
        self.assertEqual(store.add_many(fetched(16)), ["a key"])
        self.assertEqual(self.archive.list(IN), [])
        said = io.BytesIO()
        with asked.open("rb") as requests:
            serve(self.opened, requests, said, lambda seconds: True)
        self.assertEqual(json.loads(said.getvalue()), [new_key(f"pop3:{one}") for one in range(16)])
        self.assertEqual(len(self.archive.list(IN)), 16)
        self.assertEqual([*(self.root / ".arriving").glob(".*.part")], [])

    def test_messages_staged_for_a_dead_worker_are_stored_and_leave_no_files(self) -> None:
        store, _asked = self.store(b"")
        self.patch(WorkerProcess, "is_busy", True)
        self.assertEqual(store.add_many(fetched(16))[0], new_key("pop3:0"))
        self.assertEqual(len(self.archive.list(IN)), 16)
        self.assertEqual([*(self.root / ".arriving").glob(".*.part")], [])

    def test_a_few_messages_wait_for_the_worker(self) -> None:
        store, asked = self.store(b'["a key"]\n')
        self.patch(WorkerProcess, "is_busy", True)
        store.add_many(fetched(15))
        self.assertIn(b'"add"', asked.read_bytes())

    def test_the_first_process_reports_why_a_message_cannot_be_stored(self) -> None:
        store, _asked = self.store(b"null\n")
        nowhere = [Addition(message("lost"), Folder(ME, "Nowhere"), "lost")]
        self.assertRaises(NoSuchFolder, store.add_many, nowhere)

    def test_a_worker_whose_pipe_is_closed_is_not_used(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        second = WorkerProcess(0, os.fdopen(writing, "wb", 0), io.BytesIO(b"true\n"))
        self.addCleanup(second.close)
        self.assertIsNone(second.add_account(ME))


class ProcessTests(ArchiveCase):
    """A real worker process."""

    def run_program(self, processors: int) -> Any:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", _PROGRAM, str(self.root), str(processors)],
            env={**os.environ, "PYTHONPATH": _CHECKOUT},
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        self.told = run.stderr.decode()
        return json.loads(run.stdout)

    def test_both_processes_see_what_either_stores_and_the_worker_ends_with_the_first(self) -> None:
        made, kept, there, refused, again, after, known = self.run_program(2)
        self.assertTrue(made)
        self.assertEqual((sorted(kept), len(kept)), (there, 40))
        self.assertEqual(again, kept[:1])
        self.assertEqual(known, {"0": kept[0]})
        self.assertIsNone(refused)
        self.assertIsNone(after)
        self.assertEqual(len(self.archive.list(Folder(ME, "Inbox"))), 40)

    def test_the_worker_tells_that_it_rebuilds_the_index(self) -> None:
        """A fetch is often the first command after an upgrade."""
        for version, told in ((1, "The index is being rebuilt"), (None, "")):
            if version is not None:
                with closing(sqlite3.connect(self.root / INDEX)) as index:
                    index.execute(f"PRAGMA user_version = {version}")
            self.run_program(2)
            self.assertEqual(self.told[:26], told)

    def test_a_command_right_after_a_fetch_waits_for_the_index(self) -> None:
        """The first process ends as soon as all is on disk. `list` right after it shows everything."""
        asked = _asked(fetched(3))
        program = _ORPHAN.replace("{asked}", repr(asked))
        run = subprocess.run(
            [sys.executable, "-c", program, str(self.root)],
            env={**os.environ, "PYTHONPATH": _CHECKOUT},
            capture_output=True,
            check=True,
            timeout=60,
        )
        self.assertEqual(json.loads(run.stdout), [new_key(f"pop3:{one}") for one in range(3)])
        self.assertEqual(len(self.opened().list(IN)), 3)

    def test_a_store_that_is_removed_after_a_fetch_does_not_come_back(self) -> None:
        archive = self.opened()
        shutil.rmtree(self.root)
        said = io.BytesIO()
        serve(lambda: archive, io.BytesIO(_asked(fetched(3))), said, lambda seconds: True)
        self.assertEqual(json.loads(said.getvalue()), None)
        self.assertFalse(self.root.exists())

    def noting(self, calls: list[str], name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def noted(*given: Any) -> Any:
            calls.append(name)
            return call(*given)

        return noted

    def test_one_processor_has_no_worker(self) -> None:
        self.assertIsNone(self.run_program(1))

    def test_writeback_of_a_batch_starts_before_its_first_sync(self) -> None:
        calls: list[str] = []
        if not hasattr(os, "posix_fadvise"):
            self.skipTest("this system has no such call")
        for name in ("posix_fadvise", "fsync"):
            self.patch(os, name, self.noting(calls, name))
        self.archive.add_many(fetched(20))
        self.assertEqual(calls[:20], ["posix_fadvise"] * 20)
        self.assertEqual(calls[20:40], ["fsync"] * 20)
