"""Clients that end their side, read late or never, over real sockets and real TLS."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from emailsys.config.settings import POP3Settings
from tests.fakes.pop3_house import LOGIN, POP3House
from tests.fakes.smtp_house import SMTPHouse
from tests.fakes.tls_pipe import development_tls

reactor: Any = global_reactor
# More than the kernel holds for a connection on its way.
_LONG = b"Subject: long\r\n\r\n" + (b"x" * 998 + b"\r\n") * 16_000


class EndingTests(TestCase):
    """The clients are threads."""

    def listen(self, factory: Any) -> int:
        port: IListeningPort = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        address: Any = port.getHost()
        return int(address.port)

    async def away(self, call: Callable[..., Any], *arguments: Any) -> Any:
        result: Deferred[Any] = deferToThread(call, *arguments)
        return await result

    @staticmethod
    def say_and_end(port: int, octets: bytes) -> bytes:
        """What `printf ... | nc -N` does."""
        with socket.create_connection(("127.0.0.1", port), 10.0) as client:
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            return client.makefile("rb").read()

    async def test_smtp_answers_one_that_ended_its_side(self) -> None:
        house = SMTPHouse(clock=reactor)
        octets = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"
        said = await self.away(self.say_and_end, self.listen(house.factory), octets)
        self.assertIn(b"\r\n250 2.0.0 queued as", said)
        self.assertEqual(house.body(), b"Subject: x\r\n\r\nx\r\n")

    async def test_pop3_answers_one_that_ended_its_side(self) -> None:
        house = POP3House(clock=reactor)
        port = self.listen(house.factory)
        said = await self.away(self.say_and_end, port, LOGIN + b"DELE 1\r\n")
        self.assertTrue(said.endswith(b"+OK message 1 deleted\r\n"), said)
        self.assertEqual(len(house.bodies()), 3)
        said = await self.away(self.say_and_end, port, LOGIN + b"RETR 2\r\nDELE 1\r\nQUIT\r\n")
        self.assertTrue(said.endswith(b"line 3\r\n.\r\n+OK message 1 deleted\r\n+OK bye, 1 messages removed\r\n"), said)
        self.assertEqual(len(house.bodies()), 2)

    async def fetch_and_quit(self, house: POP3House, client: socket.socket) -> tuple[int, int, bytes]:
        """Ask for a long message, its removal and the end at once; how many there were when the first of it came."""
        house.store.put(house.alice, _LONG)

        def ask() -> bytes:
            client.sendall(LOGIN + b"RETR 4\r\nDELE 4\r\nQUIT\r\n")
            return client.recv(4096)

        def read_on() -> tuple[int, bytes]:
            octets, tail = 0, b""
            while block := client.recv(1 << 20):
                octets += len(block)
                tail = (tail + block)[-100:]
            client.close()
            return octets, tail

        first = b""
        while b" octets\r\nSubject: long" not in first:
            first += await self.away(ask if not first else client.recv, *(() if not first else (4096,)))
        there = len(house.bodies())
        octets, tail = await self.away(read_on)
        return there, len(first) + octets, tail

    def patient(self) -> POP3House:
        return POP3House(POP3Settings(plaintext_auth_on_loopback=True, close_timeout=0.5), clock=reactor)

    async def test_a_message_is_removed_only_when_its_reader_has_read_on(self) -> None:
        house = self.patient()
        client = socket.create_connection(("127.0.0.1", self.listen(house.factory)), 10.0)
        there, octets, tail = await self.fetch_and_quit(house, client)
        self.assertEqual(there, 4)
        self.assertGreater(octets, len(_LONG))
        self.assertTrue(tail.endswith(b"\r\n.\r\n+OK message 4 deleted\r\n+OK bye, 1 messages removed\r\n"), tail)
        self.assertEqual(len(house.bodies()), 3)

    async def test_the_same_under_tls(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        tls, _authority = development_tls(Path(folder.name) / "certs")
        house = self.patient()
        port = self.listen(TLSMemoryBIOFactory(tls, False, house.factory, reactor))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

        def connect() -> ssl.SSLSocket:
            return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10.0))

        there, octets, tail = await self.fetch_and_quit(house, await self.away(connect))
        self.assertEqual(there, 4)
        self.assertGreater(octets, len(_LONG))
        self.assertTrue(tail.endswith(b"+OK bye, 1 messages removed\r\n"), tail)
        self.assertEqual(len(house.bodies()), 3)
