"""A hundred users at once: each submits and fetches over TLS, and every one of them succeeds."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.installed import run

CHECKOUT = Path(__file__).resolve().parents[3]


class ConcurrencyTests(SynchronousTestCase):
    """The benchmarks, as a user would run them; here their success counts, and what they print is for the reader."""

    def bench(self, name: str, *options: str) -> str:
        command = [sys.executable, "-m", f"benchmarks.{name}", *options]
        text = run(command, environ={"PYTHONPATH": str(CHECKOUT)}, timeout=300).stdout.decode()
        # trial has begun a line with the name of this test.
        print("", *(f"{name}: {line}" for line in text.splitlines()), sep="\n")
        return text

    def test_a_hundred_users_at_once_all_succeed(self) -> None:
        """100 % success, cold and warm."""
        text = self.bench("users", "--users", "100", "--rounds", "2")
        self.assertIn("cold: 100 of 100 rounds of 100 users held", text)
        self.assertIn("warm: 200 of 200 rounds of 100 users held", text)

    def test_a_large_message_is_never_in_memory(self) -> None:
        """64 MiB in and out; no more than 16 MiB of growth is asked of 100."""
        text = self.bench("memory", "--mebibytes", "64")
        growth = [float(found) for found in re.findall(r"growth while .*: (-?[\d.]+) MiB", text)]
        self.assertEqual(len(growth), 2)
        self.assertLess(max(growth), 16.0)

    def test_the_receive_benchmark_loses_nothing(self) -> None:
        """A short run; a reply other than 250 would end it."""
        self.assertRegex(self.bench("receive", "--seconds", "1"), r"\d+ messages in ")

    def test_small_messages_pass_large_ones(self) -> None:
        """Staged bodies: what is asserted is far from what is measured on an idle machine."""
        text = self.bench("small_beside_large", "--large", "3", "--mebibytes", "20")
        found = re.search(r"beside 3 .*p99 ([\d.]+) ms", text)
        assert found is not None
        self.assertLess(float(found[1]), 2000.0)
