"""Short runs of the crash harnesses: what was acknowledged survives SIGKILL, power cuts and disks that fail."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.crash.mutants import edited
from benchmarks.crash.safeguards import MUTANTS
from tests.live.programs.installed import needs, run
from tests.live.server.test_durability import may_trace

CHECKOUT = Path(__file__).resolve().parents[3]
# Seconds that a short run may take on a machine that is busy with other tests.
PATIENCE = 300.0


class MutantTests(SynchronousTestCase):
    """The safeguards that `benchmarks.crash.mutants` takes out."""

    def test_each_mutant_finds_the_code_that_it_edits(self) -> None:
        for mutant in MUTANTS:
            self.assertTrue(edited(mutant, CHECKOUT), mutant.name)


class CrashTests(SynchronousTestCase):
    """Each harness is a command, which ends with 1 if a promise was broken and prints which one."""

    def harness(self, name: str, *options: str) -> str:
        """Run one; returns what it printed."""
        command = [sys.executable, "-m", f"benchmarks.crash.{name}", *options]
        return run(command, environ={"PYTHONPATH": str(CHECKOUT)}, timeout=PATIENCE).stdout.decode()

    def test_sigkill_under_load_breaks_no_promise(self) -> None:
        """One round on SQLite."""
        printed = self.harness("kill_rounds", "--rounds", "1", "--longest", "1.5")
        self.assertRegex(printed, r" 1  rounds\n")
        self.assertRegex(printed, r" 0  flaws\n")

    def test_sigkill_under_load_breaks_no_promise_on_postgresql(self) -> None:
        """One round on PostgreSQL, which is killed before the daemon."""
        options = ("--engine", "postgresql", "--kill-database", "1", "--rounds", "1", "--longest", "1.5")
        printed = self.harness("kill_rounds", *options)
        self.assertIn("database, then daemon", printed)
        self.assertRegex(printed, r" 0  flaws\n")

    @needs("cc")
    def test_a_power_cut_between_any_two_sectors_breaks_no_promise(self) -> None:
        """A few seconds of load, and twenty cuts."""
        printed = self.harness("power_loss", "--seconds", "3", "--cuts", "20")
        self.assertRegex(printed, r"[1-9][0-9]* promises seen\n20 cuts ")

    def test_changed_octets_on_the_disk_are_never_sent_to_a_client(self) -> None:
        """A changed octet in the first piece and in a later one, and a lost page."""
        printed = self.harness("flipped_octet")
        # Of a late piece the first answer is the end of the connection, unless the relay has met it before.
        self.assertGreaterEqual(printed.count("-ERR [SYS/PERM]"), 5)
        self.assertRegex(printed, r" 0  flaws\n")

    @needs("cc")
    def test_a_power_cut_after_syncs_that_failed_breaks_no_promise(self) -> None:
        """What a failed sync should have written never comes to the disk, as on Linux."""
        printed = self.harness("power_loss", "--seconds", "3", "--cuts", "10", "--sync-errors")
        self.assertRegex(printed, r"[1-9][0-9]* promises seen\n10 cuts ")

    @needs("cc")
    def test_mail_that_comes_after_a_failed_sync_survives_a_power_cut(self) -> None:
        """The smallest case, with a daemon that lives on."""
        self.assertRegex(self.harness("failed_sync"), r"power cut 0 of [23] messages")

    @needs("cc")
    def test_mail_that_comes_after_a_failed_sync_and_a_restart_survives_a_power_cut(self) -> None:
        """The smallest case, with a daemon that was killed while syncs failed."""
        self.assertRegex(self.harness("failed_sync", "--restart"), r"power cut 0 of [23] messages")

    @needs("strace")
    @unittest.skipUnless(may_trace(), "strace may not trace here")
    def test_every_reply_comes_after_the_sync_that_keeps_its_promise(self) -> None:
        """Twice on each path."""
        printed = self.harness("sync_order", "--times", "2")
        self.assertEqual(printed.count("\nok  "), 11, printed)
