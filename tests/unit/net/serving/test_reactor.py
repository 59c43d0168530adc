"""The daemon's reactor serves every event, and survives what one of them raises."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from functools import partial

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from emailsys.net.serving.reactor import MailReactor


class Reader(FileDescriptor):
    """Reads from a socket; `neighbour` is closed by whoever reads first."""

    def __init__(self, reactor: MailReactor, end: socket.socket) -> None:
        super().__init__(reactor)
        self.end = end
        self.heard = b""
        self.lost: Failure | None = None
        self.neighbour: Reader | None = None

    @override
    def fileno(self) -> int:
        return self.end.fileno()

    @override
    def doRead(self) -> Exception | None:
        octets = self.end.recv(100)
        if octets == b"raise":
            raise ValueError("in doRead")
        self.heard += octets
        if self.neighbour is not None:
            self.neighbour.stopReading()
            self.neighbour.neighbour = None
        return None if octets else ConnectionDone()

    @override
    def connectionLost(self, reason: Failure) -> None:
        self.stopReading()
        self.lost = reason


class MailReactorTests(SynchronousTestCase):
    """What epoll tells goes to the one it is for."""

    def setUp(self) -> None:
        self.reactor = MailReactor()
        self.addCleanup(self.reactor.waker.connectionLost, None)

    def reader(self) -> tuple[Reader, socket.socket]:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        reader = Reader(self.reactor, ours)
        reader.startReading()
        self.addCleanup(reader.stopReading)
        return reader, theirs

    def test_each_hears_its_own_peer(self) -> None:
        (first, one), (second, two) = self.reader(), self.reader()
        one.send(b"EHLO")
        two.send(b"QUIT")
        self.reactor.doIteration(0)
        self.assertEqual((first.heard, second.heard), (b"EHLO", b"QUIT"))

    def test_a_reader_closed_by_an_earlier_event_is_skipped(self) -> None:
        (first, one), (second, two) = self.reader(), self.reader()
        first.neighbour, second.neighbour = second, first
        one.send(b"EHLO")
        two.send(b"EHLO")
        self.reactor.doIteration(0)
        self.assertEqual(first.heard + second.heard, b"EHLO")

    def test_one_that_raises_loses_its_connection_and_no_other(self) -> None:
        (first, one), (second, two) = self.reader(), self.reader()
        one.send(b"raise")
        two.send(b"EHLO")
        self.reactor.doIteration(0)
        self.assertEqual(second.heard, b"EHLO")
        assert first.lost is not None
        self.assertTrue(first.lost.check(ValueError))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_timers_use_the_monotonic_clock(self) -> None:
        """Otherwise a wall clock that jumps ahead fires all of them at once, and one that goes back stops them."""
        self.patch(time, "time", lambda: time.monotonic() + 400 * 86_400)
        fired: list[None] = []
        call = self.reactor.callLater(3600, fired.append, None)
        self.addCleanup(call.cancel)
        self.reactor.runUntilCurrent()
        self.assertEqual(fired, [])
        self.assertLess(abs(self.reactor.seconds() - time.monotonic()), 60)

    def test_the_end_of_a_peer_is_heard(self) -> None:
        reader, peer = self.reader()
        peer.close()
        self.reactor.doIteration(0)
        assert reader.lost is not None
        self.assertTrue(reader.lost.check(ConnectionDone))

    def test_a_turn_ends_after_its_events(self) -> None:
        said: list[str] = []
        (first, one), (second, two) = self.reader(), self.reader()
        self.patch(first, "doRead", lambda: self.reactor.at_turn_end(lambda: said.append(first.end.recv(9).decode())))
        self.patch(second, "doRead", lambda: self.reactor.at_turn_end(lambda: said.append(second.end.recv(9).decode())))
        one.send(b"250")
        two.send(b"251")
        self.reactor.doIteration(0)
        self.assertEqual(sorted(said), ["250", "251"])

    def test_a_turn_without_events_ends_before_the_next_poll(self) -> None:
        """A reader thread has answered, and the poll would wait for an hour."""
        called: list[str] = []

        def end() -> None:
            called.append("end")
            self.reactor.callLater(0, called.append, "delayed")

        self.reactor.at_turn_end(end)
        # The delayed call is due, so that the poll does not wait.
        self.reactor.doIteration(3600)
        self.reactor.runUntilCurrent()
        self.assertEqual(called, ["end", "delayed"])

    def test_a_call_registered_at_the_end_of_a_turn_is_made_too(self) -> None:
        """It does not wait for an event."""
        called: list[str] = []
        delays: list[float | None] = []
        self.patch(self.reactor, "doPoll", delays.append)
        self.reactor.at_turn_end(lambda: self.reactor.at_turn_end(partial(called.append, "next")))
        self.reactor.doIteration(3600)
        self.assertEqual((called, delays), (["next"], [0]))


class ChoiceTests(SynchronousTestCase):
    """Which reactor a process gets is settled before anything asks for one."""

    def chosen(self, *statements: str) -> str:
        told = "from twisted.internet import reactor; print(type(reactor).__name__)"
        return subprocess.run(
            [sys.executable, "-c", "; ".join((*statements, told))], check=True, capture_output=True, text=True
        ).stdout.strip()

    def test_the_daemon_in_the_foreground_has_its_own(self) -> None:
        self.assertEqual(self.chosen("import emailsys.daemon", "emailsys.daemon.install_reactor()"), "MailReactor")

    def test_twistd_has_the_reactor_of_the_daemon_after_its_options_are_read(self) -> None:
        read = ("from emailsys.daemon import Options", "o = Options()", "o.parent = {'nodaemon': 1}", "o.postOptions()")
        self.assertEqual(self.chosen(*read), "MailReactor")

    def test_without_epoll_the_default_one_gets_the_monotonic_clock(self) -> None:
        """On macOS and Windows."""
        without = "import select; del select.epoll"
        told = "import time; from twisted.internet import reactor; assert reactor.seconds is time.monotonic"
        name = self.chosen(without, "import emailsys.daemon", "emailsys.daemon.install_reactor()", told)
        self.assertNotEqual(name, "MailReactor")

    def test_another_one_that_was_chosen_stays(self) -> None:
        chosen = "from twisted.internet import selectreactor; selectreactor.install()"
        self.assertEqual(
            self.chosen(chosen, "import emailsys.daemon", "emailsys.daemon.install_reactor()"), "SelectReactor"
        )
