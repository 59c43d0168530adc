"""Connections on their way to a worker: one that fails costs no other, and addresses are named as in sessions."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.daemon.worker_connections import Acceptor, Receiver
from emailsys.platforms.descriptors import pass_connection, passing_pair
from emailsys.supervisor import Bound
from tests.fakes.net.smtp_house import Events

_NEEDS_LINUX = None if sys.platform == "linux" else "workers need Linux"


class Readers(Clock):
    """A reactor that knows who wants to read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: list[object] = []

    def addReader(self, reader: object) -> None:
        self.reading.append(reader)

    def removeReader(self, reader: object) -> None:
        self.reading.remove(reader)


class Listening:
    """A listening socket with some connections from an address, or with an error."""

    def __init__(self, *found: Any) -> None:
        self._found = list(found)

    def accept(self) -> Any:
        if not self._found:
            raise BlockingIOError
        found = self._found.pop(0)
        if isinstance(found, OSError):
            raise found
        return found


class ConnectionCase(SynchronousTestCase):
    skip = _NEEDS_LINUX

    def setUp(self) -> None:
        self.reactor, self.events = Readers(), Events()
        self.told: list[tuple[str, str]] = []

    def pair(self) -> socket.socket:
        """One end of a connection. Both are closed when the test is over."""
        ends = socket.socketpair()
        for end in ends:
            self.addCleanup(end.close)
        return ends[0]

    def took(self, service: str, ip: str, connection: socket.socket | None) -> None:
        self.told.append((service, ip))
        if ip == "192.0.2.1":
            raise ValueError("one too many")
        if connection is not None:
            connection.close()

    def accepted(self, service: str, connection: socket.socket, ip: str) -> None:
        self.took(service, ip, connection)


class AcceptorTests(ConnectionCase):
    def accept(self, *found: Any) -> Acceptor:
        listening: Any = Listening(*found)
        bound = Bound("pop3", listening)
        acceptor = Acceptor(self.reactor, bound, self.accepted, self.events)
        acceptor.start()
        acceptor.doRead()
        return acceptor

    def test_a_connection_that_fails_ends_neither_the_others_nor_the_service(self) -> None:
        bad, good = self.pair(), self.pair()
        acceptor = self.accept((bad, ("192.0.2.1", 1)), (good, ("192.0.2.2", 2)))
        self.assertEqual(self.told, [("pop3", "192.0.2.1"), ("pop3", "192.0.2.2")])
        self.assertEqual((bad.fileno(), good.fileno()), (-1, -1), "closed")
        self.assertEqual([str(error) for error in self.events.exceptions], ["one too many"])
        self.assertEqual(self.reactor.reading, [acceptor])

    def test_addresses_are_those_that_the_session_will_have(self) -> None:
        """A link-local address belongs to an interface: the end of its connection is told with it."""
        index, name = socket.if_nameindex()[0]
        self.accept((self.pair(), ("fe80::1", 1, 0, index)), (self.pair(), ("2001:db8::1", 1, 0, 0)))
        self.assertEqual(self.told, [("pop3", f"fe80::1%{name}"), ("pop3", "2001:db8::1")])

    def test_without_a_free_descriptor_it_tries_again_a_second_later(self) -> None:
        acceptor = self.accept(OSError(errno.EMFILE, "too many open files"), (self.pair(), ("192.0.2.2", 2)))
        self.assertEqual((self.reactor.reading, self.told), ([], []))
        self.reactor.advance(1)
        self.assertEqual(self.reactor.reading, [acceptor])
        acceptor.doRead()
        self.assertEqual(self.told, [("pop3", "192.0.2.2")])


class ReceiverTests(ConnectionCase):
    def test_a_connection_that_fails_does_not_make_a_worker_deaf(self) -> None:
        """It goes on until the daemon has closed its end."""
        near, far = passing_pair()
        self.addCleanup(near.close)
        far.setblocking(False)
        ended: list[bool] = []
        receiver = Receiver(self.reactor, far, self.took, lambda: ended.append(True), self.events)
        receiver.start()
        for ip in ("192.0.2.1", "192.0.2.2"):
            pass_connection(near, f"pop3 {ip}".encode(), self.pair())
        receiver.doRead()
        self.assertEqual(self.told, [("pop3", "192.0.2.1"), ("pop3", "192.0.2.2")])
        self.assertEqual([str(error) for error in self.events.exceptions], ["one too many"])
        self.assertEqual((self.reactor.reading, ended), ([receiver], []))
        near.close()
        receiver.doRead()
        self.assertEqual((self.reactor.reading, ended), ([], [True]))
