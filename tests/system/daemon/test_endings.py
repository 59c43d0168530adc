"""Clients that close their side early, or read late or never, over real sockets and real TLS."""

from __future__ import annotations

import errno
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from emailsys.config.settings import POP3Settings, SMTPSettings
from emailsys.net.smtp.service import Kind as SMTPKind
from emailsys.net.tls.server import ServerTLS
from tests.fakes.net.pop3_house import LOGIN, POP3House
from tests.fakes.net.smtp_house import SMTPHouse
from tests.fakes.net.tls_pipe import development_tls

reactor: Any = global_reactor
# More than the kernel holds for a connection on its way.
_LONG = b"Subject: long\r\n\r\n" + (b"x" * 998 + b"\r\n") * 16_000


class EndingTestCase(TestCase):
    """A server, with clients in threads."""

    def listen(self, factory: Any) -> int:
        port: IListeningPort = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        address: Any = port.getHost()
        return int(address.port)

    async def away(self, call: Callable[..., Any], *arguments: Any) -> Any:
        result: Deferred[Any] = deferToThread(call, *arguments)
        return await result

    async def over(self, house: SMTPHouse | POP3House) -> None:
        """Wait until all sessions of the server have ended."""
        while house.factory.sessions:
            await deferLater(reactor, 0)

    def serve_tls(self) -> ServerTLS:
        """Return the TLS context of a port."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        tls, _authority = development_tls(Path(folder.name) / "certs")
        return tls

    @staticmethod
    def encrypted(plain: socket.socket, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLSocket:
        """Begin TLS with a maximum version."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = version
        return context.wrap_socket(plain)


class EndingTests(EndingTestCase):
    """Clients that close their sending side, or read late."""

    @staticmethod
    def say_and_end(port: int, octets: bytes) -> bytes:
        """Send all commands and close the sending side, as `printf ... | nc -N` does."""
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
        self.assertTrue(said.endswith(b"line 3\r\n.\r\n+OK message 1 deleted\r\n+OK bye, 1 message removed\r\n"), said)
        self.assertEqual(len(house.bodies()), 2)

    async def fetch_and_quit(self, house: POP3House, client: socket.socket) -> tuple[int, int, bytes]:
        """Pipeline RETR, DELE and QUIT for a long message.

        Returns the number of messages in the maildrop when its first octets arrived.
        """
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
        return POP3House(POP3Settings(plaintext_auth_on_loopback=True, close_timeout=60.0), clock=reactor)

    async def test_a_message_is_removed_only_when_its_reader_has_read_on(self) -> None:
        house = self.patient()
        client = socket.create_connection(("127.0.0.1", self.listen(house.factory)), 10.0)
        there, octets, tail = await self.fetch_and_quit(house, client)
        self.assertEqual(there, 4)
        self.assertGreater(octets, len(_LONG))
        self.assertTrue(tail.endswith(b"\r\n.\r\n+OK message 4 deleted\r\n+OK bye, 1 message removed\r\n"), tail)
        self.assertEqual(len(house.bodies()), 3)

    async def test_the_same_under_tls(self) -> None:
        house = self.patient()
        port = self.listen(TLSMemoryBIOFactory(self.serve_tls(), False, house.factory, reactor))

        def connect() -> ssl.SSLSocket:
            return self.encrypted(socket.create_connection(("127.0.0.1", port), 10.0))

        there, octets, tail = await self.fetch_and_quit(house, await self.away(connect))
        self.assertEqual(there, 4)
        self.assertGreater(octets, len(_LONG))
        self.assertTrue(tail.endswith(b"+OK bye, 1 message removed\r\n"), tail)
        self.assertEqual(len(house.bodies()), 3)


class LastWordsTests(EndingTestCase):
    """Clients that keep sending: closing a socket with unread octets resets it, and the last reply is lost."""

    # Behind QUIT: more than the kernel holds, so that the client still sends when the server has said its last.
    FLOOD = b"NOOP\r\n" * 700_000

    def flood(self, connect: Callable[[], socket.socket], first: bytes) -> bytes:
        """Send QUIT and more octets before reading, as a client does that writes its whole script at once."""
        with connect() as client:
            client.sendall(first)
            client.sendall(self.FLOOD)
            if not isinstance(client, ssl.SSLSocket):
                client.shutdown(socket.SHUT_WR)
            return client.makefile("rb").read()

    async def test_quit_is_answered_whatever_comes_behind_it(self) -> None:
        house = SMTPHouse(clock=reactor)
        port = self.listen(house.factory)
        said = await self.away(self.flood, lambda: socket.create_connection(("127.0.0.1", port), 10.0), b"QUIT\r\n")
        self.assertTrue(said.endswith(b"\r\n221 2.0.0 goodbye\r\n"), said)
        await self.over(house)

    async def test_a_client_that_only_makes_mistakes_is_told_why_it_is_left(self) -> None:
        house = SMTPHouse(clock=reactor)
        port = self.listen(house.factory)
        said = await self.away(self.flood, lambda: socket.create_connection(("127.0.0.1", port), 10.0), b"X\r\n" * 30)
        self.assertTrue(said.endswith(b"\r\n421 4.7.0 too many bad commands, closing\r\n"), said)
        await self.over(house)

    async def test_the_same_under_tls(self) -> None:
        house = POP3House(clock=reactor)
        port = self.listen(TLSMemoryBIOFactory(self.serve_tls(), False, house.factory, reactor))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            said = await self.away(
                self.flood,
                lambda: self.encrypted(socket.create_connection(("127.0.0.1", port), 10.0), version),  # noqa: B023
                b"QUIT\r\n",
            )
            self.assertTrue(said.endswith(b"+OK bye\r\n"), said)
            await self.over(house)

    async def test_a_client_that_never_ends_is_cut_off(self) -> None:
        house = SMTPHouse(SMTPKind.RECEIVE, SMTPSettings(close_timeout=0.2), clock=reactor)
        port = self.listen(house.factory)

        def trickle() -> int:
            with socket.create_connection(("127.0.0.1", port), 10.0) as client:
                client.sendall(b"QUIT\r\n")
                try:
                    while True:
                        client.sendall(b"NOOP\r\n")
                except OSError as error:
                    return error.errno or 0

        self.assertIn(await self.away(trickle), (errno.EPIPE, errno.ECONNRESET))
        await self.over(house)


class TLSHalfCloseTests(EndingTestCase):
    """`openssl s_client < file`: a close_notify after QUIT, often with the end of TCP's sending side."""

    SCRIPT = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n"

    def say_and_end(self, port: int, version: ssl.TLSVersion, starttls: bool, notify: bool, shut: bool) -> bytes:
        """Send all commands, close the sending side of TLS, of TCP or of both, and continue to read."""
        with socket.create_connection(("127.0.0.1", port), 10.0) as plain:
            if starttls:
                plain.sendall(b"EHLO x\r\nSTARTTLS\r\n")
                while b"220 2.0.0" not in plain.recv(4096):
                    """Read the greeting and the reply to EHLO."""
            client = SSL.Connection(self.context(version), None)
            client.set_connect_state()
            heard = b""
            self.exchange(client, plain, client.do_handshake)
            client.send(self.SCRIPT)
            if notify:
                client.shutdown()
            plain.sendall(client.bio_read(1 << 20))
            if shut:
                plain.shutdown(socket.SHUT_WR)
            while octets := plain.recv(65536):
                client.bio_write(octets)
                try:
                    while True:
                        heard += client.recv(65536)
                except (SSL.WantReadError, SSL.ZeroReturnError):
                    """Read the received octets."""
            return heard

    @staticmethod
    def context(version: ssl.TLSVersion) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_max_proto_version(version)
        return context

    @staticmethod
    def exchange(client: SSL.Connection, plain: socket.socket, step: Callable[[], Any]) -> None:
        """Exchange TLS records until a step is complete."""
        while True:
            try:
                step()
                return
            except SSL.WantReadError:
                plain.sendall(client.bio_read(1 << 20))
                client.bio_write(plain.recv(65536))

    async def test_a_message_is_accepted_in_the_hearing_of_its_sender(self) -> None:
        tls = self.serve_tls()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for starttls in (False, True):
                for notify, shut in ((True, False), (True, True), (False, True)):
                    house = SMTPHouse(context_factory=tls, clock=reactor)
                    # The commit takes longer than the goodbye.
                    house.store.hold_commits = True
                    factory: Any = house.factory
                    if not starttls:
                        factory = TLSMemoryBIOFactory(tls, False, factory, reactor)
                    port = self.listen(factory)
                    ended = deferToThread(self.say_and_end, port, version, starttls, notify, shut)
                    while not house.store.held and not ended.called:
                        await deferLater(reactor, 0)
                    reactor.callLater(0.1, house.store.release_held)
                    said = await ended
                    self.assertIn(b"\r\n250 2.0.0 queued as", said, (version, starttls, notify, shut))
                    self.assertTrue(said.endswith(b"221 2.0.0 goodbye\r\n"), said)
                    self.assertEqual(len(house.messages), 1)
                    self.assertEqual(house.factory.sessions, set())
