"""Recorded streams behave as the usual ones, and tell what goes over the wire, without secrets."""

from __future__ import annotations

import socket

from emailsys.client.fetch.stream import StreamLost
from emailsys.client.fetch.tapped import tapped_streams
from emailsys.net.tls.peer import ExpectedServer
from emailsys.wiretap.conversation import Conversation, Kind
from emailsys.wiretap.recorder import Recorder
from emailsys.wiretap.tls.observer import TLSObserver
from tests.system.client import test_stream
from tests.system.client.test_stream import LARGE, PATIENCE


class Recorded(test_stream.StreamCase):
    """Streams that are recorded."""

    def setUp(self) -> None:
        super().setUp()
        self.recorder = Recorder(10, 64 * 1024, observe=TLSObserver)
        self.streams = tapped_streams(self.recorder)

    def recorded(self) -> Conversation:
        (about,) = self.recorder.conversations(10)
        return Conversation.from_json(self.recorder.conversation(about["id"]) or {})


class TappedStreamTests(Recorded, test_stream.StreamTests):
    """All that holds of a stream holds of one that is recorded."""

    def test_each_line_of_a_login_is_told_and_no_secret(self) -> None:
        """Also where a secret looks like a command, and where the server cuts its replies."""
        pairs: list[tuple[bytes, list[bytes]]] = [
            (b"CAPA", [b"+OK\r\nSASL LOGIN\r\n.\r\n"]),
            (b"AUTH LOGIN", [b"+", b" VXNlcm5hbWU6\r\n"]),
            (b"YWxpY2U=", [b"+ UGFzc3dvcmQ6\r\n"]),
            (b"STAT", [b"-", b"ERR no: STAT\r\n"]),
            (b"STAT", [b"+OK 1 2\r\n"]),
            (b"PASS open sesame", [b"+OK open sesame\r\n"]),
        ]

        def answer(connection: socket.socket) -> None:
            connection.sendall(b"+OK ready\r\n")
            for line, replies in pairs:
                self.assertEqual(connection.recv(100), line + b"\r\n")
                for reply in replies:
                    connection.sendall(reply)
                    # The next piece goes when this one has been read.
                    if reply is not replies[-1]:
                        connection.recv(1)

        stream = self.connected(answer)
        self.assertEqual(stream.receive(PATIENCE), b"+OK ready\r\n")
        for line, replies in pairs:
            stream.send(line + b"\r\n", PATIENCE)
            for reply in replies:
                self.assertEqual(stream.receive(PATIENCE), reply)
                if reply is not replies[-1]:
                    connection = stream._socket  # type: ignore[attr-defined]
                    connection.send(b"!")
        stream.close()
        said = [event.text for event in self.recorded().events if event.kind in (Kind.COMMAND, Kind.REPLY)]
        self.assertEqual(
            said,
            [
                "+OK ready", "CAPA", "+OK", "SASL LOGIN", ".", "AUTH LOGIN", "+ VXNlcm5hbWU6", "[masked]",
                "+ UGFzc3dvcmQ6", "[masked]", "-ERR [masked]", "STAT", "+OK 1 2", "PASS [masked]", "+OK [masked]",
            ],
        )  # fmt: skip

    def test_the_end_of_a_connection_is_told_once_with_its_reason(self) -> None:
        self.listener.close()
        self.assertRaises(StreamLost, self.streams.new().connect, "127.0.0.1", self.port, PATIENCE)
        about = self.recorded()
        self.assertEqual(
            [event.text for event in about.events], [f"no connection to 127.0.0.1:{self.port}: Connection refused"]
        )
        self.assertTrue(about.closed)


class TappedTLSTests(Recorded, test_stream.TLSTests):
    """The octets of TLS go through memory, so that they can be told."""

    much = LARGE[: 1 << 18]

    def test_the_handshake_is_told_message_by_message(self) -> None:
        stream = self.served(lambda secure: secure.sendall(secure.recv(100)))
        stream.start_tls(ExpectedServer("localhost", self.authority), PATIENCE)
        stream.send(b"STAT\r\n", PATIENCE)
        self.assertEqual(stream.receive(PATIENCE), b"STAT\r\n")
        stream.close()
        about = self.recorded()
        told = [event.text for event in about.events if event.kind is Kind.TLS]
        self.assertEqual(
            [name for name in told if name not in ("ChangeCipherSpec", "NewSessionTicket", "HelloRetryRequest")],
            ["ClientHello", "ServerHello", "EncryptedExtensions", "Certificate", "CertificateVerify", "Finished",
             "Finished"],
        )  # fmt: skip
        (secured,) = (event for event in about.events if event.kind is Kind.SECURED)
        self.assertEqual(secured.details["version"], "TLS 1.3")
        self.assertEqual(about.events[-1].text, "closed by this host")

    def test_a_refused_certificate_ends_the_record_with_its_reason(self) -> None:
        stream = self.served(lambda secure: secure.recv(1))
        self.assertRaises(StreamLost, stream.start_tls, ExpectedServer("mail.example.org", self.authority), PATIENCE)
        last = self.recorded().events[-1]
        self.assertEqual(last.kind, Kind.CLOSED)
        self.assertIn("TLS handshake failed: the certificate of mail.example.org is for", last.text)

    def test_what_the_socket_does_not_take_at_once_arrives_in_order(self) -> None:
        sent, got = LARGE[: 1 << 20], bytearray()

        def read(secure: socket.socket) -> None:
            while len(got) < len(sent):
                got.extend(secure.recv(1 << 20))
            secure.sendall(b"all")

        stream = self.served(read)
        connection = stream._socket  # type: ignore[attr-defined]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        stream.start_tls(ExpectedServer("localhost", self.authority), PATIENCE)
        stream.send(sent, PATIENCE)
        self.assertEqual(stream.receive(PATIENCE), b"all")
        self.assertEqual(bytes(got), sent)
