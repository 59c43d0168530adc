"""A second process keeps mail beside the first: the same messages, each once, and the first does without it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive.archive import WORTH_A_SECOND
from emailsys.client.archive.files import new_key
from emailsys.client.archive.second_process import SecondProcess, serve
from emailsys.client.archive.values import Addition, Flag, Place
from tests.unit.test_client_archive import IN, ME, ArchiveCase, message

_CHECKOUT: Final = str(Path(__file__).resolve().parents[2])
# Runs in a process of its own, for a fork wants one without threads; prints who kept what, as JSON.
_PROGRAM: Final = """
import json, os, sys
from datetime import UTC, datetime
from pathlib import Path
from emailsys.client.archive import second_process
os.cpu_count = lambda: int(sys.argv[2])
now = lambda: datetime(2026, 11, 23, 12, tzinfo=UTC)
second = second_process.start(Path(sys.argv[1]), now)
if second is None:
    print(json.dumps(None))
    sys.exit()
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import Addition, Place
archive = Archive(Path(sys.argv[1]), now)
place = Place("me@example.test", "Inbox")
archive.add_account(place.account)
additions = [Addition(b"Subject: %d\\r\\n\\r\\ntext\\r\\n" % n, place, str(n)) for n in range(40)]
kept = second.add_many(additions)
refused = second.add_many([Addition(b"text\\r\\n", Place("me@example.test", "Nowhere"), "lost")])
again = second.add_many(additions[:1])
there = archive.list(place)
second.close()
second.close()
after = second.add_many(additions)
print(json.dumps([kept, sorted(one.key for one in there), refused, again, after]))
archive.close()
"""


def fetched(count: int) -> list[Addition]:
    """As many messages as a fetch keeps them."""
    return [Addition(message(f"number {number}"), IN, f"pop3:{number}") for number in range(count)]


class ServingTests(ArchiveCase):
    """What the second process does with what it is handed."""

    def answers(self, asked: bytes) -> list[object]:
        said = io.BytesIO()
        serve(self.opened, io.BytesIO(asked), said)
        return [json.loads(line) for line in said.getvalue().splitlines()]

    def asked(self, additions: list[Addition], folder: str = "Inbox") -> bytes:
        head = [[ME, folder, one.source, len(one.octets)] for one in additions]
        return json.dumps(head).encode() + b"\n" + b"".join(one.octets for one in additions)

    def test_batches_are_kept_and_answered_by_their_keys(self) -> None:
        first, second = fetched(3)[:2], fetched(3)[2:]
        answers = self.answers(self.asked(first) + self.asked(second))
        self.assertEqual(answers, [[new_key("pop3:0"), new_key("pop3:1")], [new_key("pop3:2")]])
        self.assertEqual(self.archive.octets(new_key("pop3:1")), first[1].octets)

    def test_half_a_batch_of_a_first_process_that_died_is_no_batch(self) -> None:
        asked = self.asked(fetched(2))
        self.assertEqual(self.answers(asked[:-1]), [])
        self.assertEqual(self.answers(asked[:10]), [])
        self.assertEqual(self.archive.list(IN), [])

    def test_what_cannot_be_kept_is_left_to_the_first_process_and_the_next_batch_is_kept(self) -> None:
        self.assertEqual(
            self.answers(self.asked(fetched(1), "Nowhere") + self.asked(fetched(1))), [None, [new_key("pop3:0")]]
        )


class SecondTests(ArchiveCase):
    """How the first process uses the second."""

    def second(self, answer: bytes) -> tuple[SecondProcess, Path]:
        """A second process that says that, and what it was asked."""
        said, asked = Path(self.mktemp()), Path(self.mktemp())
        said.write_bytes(answer)
        second = SecondProcess(0, asked.open("wb"), said.open("rb"))
        self.addCleanup(second.close)
        return second, asked

    def with_second(self, second: SecondProcess) -> None:
        self.archive._second = second

    def test_a_batch_worth_it_is_kept_by_the_second_process(self) -> None:
        second, asked = self.second(b'["a key"]\n')
        self.with_second(second)
        batch = fetched(WORTH_A_SECOND)
        self.assertEqual(self.archive.add_many(batch), ["a key"])
        said = io.BytesIO()
        serve(self.opened, asked.open("rb"), said)
        self.assertEqual(json.loads(said.getvalue()), [new_key(f"pop3:{one}") for one in range(WORTH_A_SECOND)])
        self.assertEqual(self.archive.octets(new_key("pop3:7")), batch[7].octets)

    def test_a_few_messages_and_those_with_marks_stay_in_the_first(self) -> None:
        second, asked = self.second(b'["a key"]\n')
        self.with_second(second)
        self.archive.add_many(fetched(WORTH_A_SECOND - 1))
        marked = [Addition(one.octets, IN, f"m{one.source}", Flag.SEEN) for one in fetched(WORTH_A_SECOND)]
        self.archive.add_many(marked)
        self.archive.add_many([Addition(one.octets, IN) for one in fetched(WORTH_A_SECOND)])
        self.assertEqual(asked.read_bytes(), b"")
        self.assertEqual(len(self.archive.list(IN)), 3 * WORTH_A_SECOND - 1)

    def test_the_first_process_keeps_what_a_second_that_died_had_not_answered(self) -> None:
        for answer in (b"", b"[", b"null\n"):
            with self.subTest(answer=answer):
                second, _asked = self.second(answer)
                self.with_second(second)
                keys = self.archive.add_many(fetched(WORTH_A_SECOND))
                self.assertEqual(len(self.archive.list(IN)), WORTH_A_SECOND)
                self.assertEqual(keys[0], new_key("pop3:0"))

    def test_while_the_second_process_is_busy_the_first_keeps_mail_itself(self) -> None:
        second, asked = self.second(b'["a key"]\n')
        with second._free:
            self.assertIsNone(second.add_many(fetched(1)))
        self.assertEqual(asked.read_bytes(), b"")


class ProcessTests(ArchiveCase):
    """A real second process."""

    def run_program(self, processors: int) -> Any:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", _PROGRAM, str(self.root), str(processors)],
            env={**os.environ, "PYTHONPATH": _CHECKOUT},
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        return json.loads(run.stdout)

    def test_both_processes_see_what_either_keeps_and_the_second_ends_with_the_first(self) -> None:
        kept, there, refused, again, after = self.run_program(2)
        self.assertEqual(sorted(kept), there)
        self.assertEqual(len(kept), 40)
        self.assertEqual(again, kept[:1])
        self.assertIsNone(refused)
        self.assertIsNone(after)
        self.assertEqual(len(self.archive.list(Place(ME, "Inbox"))), 40)

    def noting(self, calls: list[str], name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def noted(*given: Any) -> Any:
            calls.append(name)
            return call(*given)

        return noted

    def test_one_processor_has_no_second_process(self) -> None:
        self.assertIsNone(self.run_program(1))

    def test_the_octets_of_a_batch_are_handed_to_the_disk_before_the_first_sync_is_waited_for(self) -> None:
        calls: list[str] = []
        if not hasattr(os, "posix_fadvise"):
            self.skipTest("this system has no such call")
        for name in ("posix_fadvise", "fsync"):
            self.patch(os, name, self.noting(calls, name))
        self.archive.add_many(fetched(20))
        self.assertEqual(calls[:20], ["posix_fadvise"] * 20)
        self.assertEqual(calls[20:40], ["fsync"] * 20)
