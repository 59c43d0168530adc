"""Blocking streams on real sockets: time limits, TLS failures, and aborts by another thread."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from twisted.trial.unittest import SynchronousTestCase

from emailsys import pki
from emailsys.client.fetch.stream import OpenStreams, Stream, StreamLost, StreamTimeout, TCPStream
from emailsys.net.tls.peer import ExpectedServer

PATIENCE = 30.0
MOMENT = 0.02
LARGE = bytes(range(256)) * 64 * 1024


class StreamCase(SynchronousTestCase):
    """A server in its own thread that serves one connection."""

    def setUp(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.port = self.listener.getsockname()[1]
        self.streams = OpenStreams()
        self.over = Event()
        self.addCleanup(self.over.set)

    def says_nothing(self, connection: socket.socket) -> None:
        """A server that neither reads nor writes while the test lasts."""
        self.over.wait(PATIENCE)

    def serve(self, how: Callable[[socket.socket], object]) -> None:
        """Accept one connection, do that with it, close it."""

        def work() -> None:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(PATIENCE)
                how(connection)

        thread = Thread(target=work, daemon=True)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        self.addCleanup(self.over.set)

    def connected(self, how: Callable[[socket.socket], object] | None = None) -> Stream:
        self.serve(how or self.says_nothing)
        stream = self.streams.new()
        self.addCleanup(stream.close)
        stream.connect("127.0.0.1", self.port, PATIENCE)
        return stream

    def deaf(self) -> socket.socket:
        """A listener whose queue is full: who connects hears nothing."""
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(full.close)
        for _ in range(3):
            one = socket.socket()
            self.addCleanup(one.close)
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        return full

    def why(self, call: Callable[..., object], *arguments: object) -> str:
        return str(self.assertRaises(StreamLost, call, *arguments))


class StreamTests(StreamCase):
    """Streams without TLS."""

    def test_octets_go_and_come_and_the_end_is_seen(self) -> None:
        stream = self.connected(lambda connection: connection.sendall(connection.recv(100)[::-1]))
        stream.send(b"abc", PATIENCE)
        self.assertEqual(stream.receive(PATIENCE), b"cba")
        self.assertEqual(stream.receive(PATIENCE), b"")
        self.assertEqual(stream.peer_host, "127.0.0.1")
        self.assertIsNone(stream.tls)

    def test_more_than_the_socket_takes_at_once_is_sent_whole(self) -> None:
        got = bytearray()

        def read(connection: socket.socket) -> None:
            while octets := connection.recv(1 << 20):
                got.extend(octets)
            connection.sendall(b"all")

        stream = self.connected(read)
        stream.send(LARGE, PATIENCE)
        connection = stream._socket  # type: ignore[attr-defined]
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(stream.receive(PATIENCE), b"all")
        self.assertEqual(bytes(got), LARGE)

    def test_silence_has_an_end(self) -> None:
        stream = self.connected()
        self.assertRaises(StreamTimeout, stream.receive, MOMENT)
        self.assertRaises(StreamTimeout, stream.send, LARGE * 4, MOMENT)

    def test_a_connection_that_is_reset_is_reported(self) -> None:
        def reset(connection: socket.socket) -> None:
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        stream = self.connected(reset)
        stream.send(b"x", PATIENCE)
        self.assertIn("reset", self.why(stream.receive, PATIENCE))

    def test_a_refused_connection_is_reported_in_the_words_of_the_system(self) -> None:
        self.listener.close()
        self.assertEqual(self.why(self.streams.new().connect, "127.0.0.1", self.port, PATIENCE), "Connection refused")

    def test_an_unknown_host_name_is_reported(self) -> None:
        self.assertIn("the host name is unknown", self.why(self.streams.new().connect, "no..name", self.port, PATIENCE))

    def test_the_next_address_is_tried_when_one_does_not_answer(self) -> None:
        """A name with an IPv6 address where there is no IPv6 is as common as it is slow to find out."""
        full = self.deaf()
        addresses = [(socket.AF_INET, 1, 6, "", one) for one in (full.getsockname(), ("127.0.0.1", self.port))]
        self.patch(socket, "getaddrinfo", lambda *_, **__: addresses)
        stream = self.connected()
        self.assertIsNone(stream.tls)

    def test_a_connection_attempt_without_an_answer_times_out(self) -> None:
        full = self.deaf()
        stream = self.streams.new()
        self.assertRaises(StreamTimeout, stream.connect, *full.getsockname(), MOMENT)

    def test_without_a_connection_nothing_goes(self) -> None:
        stream = self.streams.new()
        for call in (lambda: stream.send(b"x", 1.0), lambda: stream.receive(1.0)):
            self.assertIn("no connection", self.why(call))
        self.assertEqual(stream.peer_host, "")

    # The end

    def test_another_thread_ends_a_wait(self) -> None:
        stream = self.connected()
        Thread(target=self.streams.hang_up).start()
        self.assertEqual(self.why(stream.receive, PATIENCE), "stopped by this program")

    def test_a_stream_that_is_opened_after_hang_up_fails_at_once(self) -> None:
        self.streams.hang_up()
        self.assertFalse(self.streams.pause(PATIENCE))
        self.assertEqual(
            self.why(self.streams.new().connect, "127.0.0.1", self.port, PATIENCE), "stopped by this program"
        )

    def test_a_stream_is_closed_twice_and_hung_up_after_that(self) -> None:
        stream = self.connected()
        stream.close()
        stream.close()
        stream.hang_up()
        self.assertIn("closed", self.why(TCPStream._ready, stream, 0.0))


class TLSTests(StreamCase):
    """With the certificates of a development CA."""

    much = LARGE

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        made = pki.ensure_development_ca(Path(folder.name) / "certs")
        self.authority = made.authority
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(made.certificates[0].chain, made.certificates[0].key)

    def served(self, how: Callable[[ssl.SSLSocket], object]) -> Stream:
        def work(connection: socket.socket) -> None:
            try:
                with self.context.wrap_socket(connection, server_side=True) as secure:
                    how(secure)
            except (ssl.SSLError, OSError):
                return

        return self.connected(work)

    def test_octets_go_and_come_through_tls(self) -> None:
        stream = self.served(lambda secure: secure.sendall(secure.recv(100) + self.much))
        stream.start_tls(ExpectedServer("localhost", self.authority), PATIENCE)
        assert stream.tls is not None
        self.assertEqual(stream.tls.get_protocol_version_name(), "TLSv1.3")
        stream.send(b"begin", PATIENCE)
        got = b""
        while octets := stream.receive(PATIENCE):
            got += octets
        self.assertEqual(got, b"begin" + self.much)
        stream.close()

    def test_the_certificate_of_another_server_is_refused_in_words(self) -> None:
        stream = self.served(lambda secure: secure.recv(1))
        expected = ExpectedServer("mail.example.org", self.authority)
        error = self.assertRaises(StreamLost, stream.start_tls, expected, PATIENCE)
        self.assertTrue(error.certificate)
        self.assertIn("the certificate of mail.example.org is for", str(error))
        self.assertIsNone(stream.tls)

    def test_a_server_without_tls_is_reported(self) -> None:
        stream = self.connected(lambda connection: connection.sendall(b"+OK no TLS here\r\n"))
        error = self.assertRaises(StreamLost, stream.start_tls, ExpectedServer("localhost", self.authority), PATIENCE)
        self.assertFalse(error.certificate)

    def test_a_handshake_without_an_answer_times_out(self) -> None:
        stream = self.connected()
        self.assertRaises(StreamTimeout, stream.start_tls, ExpectedServer("localhost", self.authority), MOMENT)

    def test_a_connection_cut_off_within_tls_is_an_end(self) -> None:
        def cut(secure: ssl.SSLSocket) -> None:
            secure.recv(10)
            socket.socket(fileno=secure.detach()).close()

        stream = self.served(cut)
        stream.start_tls(ExpectedServer("localhost", self.authority), PATIENCE)
        stream.send(b"x", PATIENCE)
        self.assertEqual(stream.receive(PATIENCE), b"")
