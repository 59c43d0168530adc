"""Which of two processes serves after a restart: the one that serves already decides, and the other one hears it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from emailsys.daemon import succession
from emailsys.daemon.resources import OpenedResources
from emailsys.daemon.succession import Succession, wait_for
from emailsys.supervisor import FolderLock, Inheritance, Predecessor
from emailsys.telemetry import Telemetry

_OF_OTHER = b"1\n"
_OWN = b"%d\n" % os.getpid()
# Seconds that are never waited for.
_LONG = 60.0


class SuccessionTests(SynchronousTestCase):
    """The successor's side runs in a thread, the other one in this one, with a real process to end."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.lock = FolderLock.take(self.folder)
        self.addCleanup(self.lock.release)
        (self.folder / "daemon.lock").write_bytes(_OF_OTHER)
        self.connect()
        self.process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.announced: list[bytes] = []
        self.threads = ThreadPoolExecutor(1)
        self.addCleanup(self.threads.shutdown)

    def connect(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        predecessor = Predecessor(Inheritance(os.dup(self.lock.descriptor), None, theirs.detach()))
        opened = OpenedResources(predecessor.lock(self.folder), (), None, predecessor)
        self.addCleanup(opened.release)
        self.succession = Succession(Telemetry(), opened, self.folder, lambda _: None)

    def announce(self) -> None:
        self.announced.append((self.folder / "daemon.lock").read_bytes())

    def take_over(self) -> Future[bool]:
        """Let the successor report, and wait until the report has arrived."""
        done = self.threads.submit(self.succession.take_over, self.announce)
        select.select([self.ours], [], [], _LONG)
        return done

    def test_one_that_serves_in_time_takes_over_before_the_other_one_goes_on(self) -> None:
        """It does also if the time is over when its report is read: both agree."""
        for seconds in (_LONG, 0.0):
            taking = self.take_over()
            self.assertIsNone(wait_for(self.process, self.ours, seconds))
            self.assertTrue(taking.result(_LONG))
            self.assertEqual(self.announced, [_OWN])
            self.assertFalse(self.succession.is_complete)
            self.assertIsNone(self.process.poll())
            self.announced.clear()
            self.connect()

    def test_one_that_serves_too_late_takes_nothing(self) -> None:
        """It ends, and leaves the lock file and the addresses to the process that goes on."""
        self.assertIn("did not serve within 0 seconds", wait_for(self.process, self.ours, 0.0) or "")
        self.assertFalse(self.succession.take_over(self.announce))
        self.assertEqual(self.announced, [])
        self.assertEqual((self.folder / "daemon.lock").read_bytes(), _OF_OTHER)
        self.assertTrue(self.succession.is_complete, "another process serves")
        self.assertEqual(self.process.returncode, -signal.SIGTERM)

    def test_if_the_other_process_was_killed_meanwhile_this_one_serves(self) -> None:
        self.ours.close()
        self.assertTrue(self.succession.take_over(self.announce))
        self.assertEqual(self.announced, [_OWN])

    def test_what_a_successor_reports_besides(self) -> None:
        """Its problems are told; anything else is the failure of a process that has ended."""
        for report, expected in (
            (b'{"problem": "hostname: found 1"}\n', "hostname: found 1"),
            (b"no JSON\n", "ended with status -15 before it served"),
            (b"", "ended with status -15 before it served"),
        ):
            ours, theirs = socket.socketpair()
            theirs.sendall(report)
            theirs.close()
            self.assertIn(expected, wait_for(self.process, ours, _LONG) or "")

    def test_a_process_that_is_being_stopped_starts_none(self) -> None:
        self.succession.abandon()
        outcome = self.successResultOf(Deferred.fromCoroutine(self.succession.begin()))
        self.assertEqual((outcome.pid, outcome.problem), (os.getpid(), "this process is being stopped"))

    def held(self) -> Future[bool]:
        """Let a successor wait, and return whether it is told to begin."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.patch(self.succession, "_start", lambda is_held: (self.process, ours))
        self.patch(succession, "deferToThread", lambda call, *given: succeed(call(*given)))
        passed = Inheritance(os.dup(self.lock.descriptor), None, theirs.detach(), is_held=True)
        waiting = self.threads.submit(Predecessor(passed).wait)
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(self.succession.hold())))
        self.assertFalse(waiting.done())
        return waiting

    def test_a_successor_that_waits_begins_when_it_is_told_to(self) -> None:
        """The sessions of this process then end soon."""
        waiting = self.held()
        self.patch(succession, "wait_for", lambda process, report, seconds: None)
        outcome = self.successResultOf(Deferred.fromCoroutine(self.succession.begin()))
        self.assertEqual((outcome.pid, outcome.problem), (self.process.pid, None))
        self.assertTrue(waiting.result(_LONG))
        self.assertTrue(self.succession.is_urgent)

    def test_a_successor_that_is_not_needed_ends(self) -> None:
        waiting = self.held()
        self.successResultOf(Deferred.fromCoroutine(self.succession.release()))
        self.assertFalse(waiting.result(_LONG))
        self.assertEqual(self.process.returncode, -signal.SIGTERM)
        self.assertFalse(self.succession.is_urgent)
