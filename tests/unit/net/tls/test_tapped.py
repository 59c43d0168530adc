"""TLS of recorded connections: each message of the handshake on both sides, and no secret left behind."""

from __future__ import annotations

import gc
import ssl
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys import pki
from emailsys.mail.next_hop import ExpectedTLS
from emailsys.net.tls.client import client_tls
from emailsys.net.tls.facts import tls_facts
from emailsys.net.tls.tapped import ImplicitTLS, TappedTLS
from emailsys.wiretap.conversation import Conversation, Event, Kind
from emailsys.wiretap.recorder import Recorder
from emailsys.wiretap.tap import Tap
from emailsys.wiretap.tls.observer import TLSObserver
from tests.fakes.net.tls_house import tls12
from tests.fakes.net.tls_pipe import NO_PROTOCOL, development_tls, shake_hands

# The modules whose objects are searched for secrets.
_RECORDER = ("emailsys.wiretap", "collections")
_END = "-----END CERTIFICATE-----\n"
_SERVER_TLS13 = [
    "ServerHello",
    "ChangeCipherSpec",
    "EncryptedExtensions",
    "Certificate",
    "CertificateVerify",
    "Finished",
]


class TappedTLSTests(SynchronousTestCase):
    """Handshakes in memory."""

    def setUp(self) -> None:
        self.server, self.authority = development_tls(Path(self.mktemp()))
        self.records = Recorder(10, 64 * 1024, observe=TLSObserver)

    def tap(self, session: str, as_client: bool = False) -> Tap:
        return self.records.begin("smtp", as_client, session)

    def events(self, session: str) -> list[Event]:
        found = self.records.conversation(session)
        assert found is not None
        return list(Conversation.from_json(found).events)

    def texts(self, session: str, direction: str) -> list[str]:
        """The messages of one side."""
        return [one.text for one in self.events(session) if one.kind is Kind.TLS and one.direction == direction]

    def shake(self, server: Any, client: Any) -> SSL.Connection:
        return shake_hands(server, client)

    def test_both_sides_see_the_encrypted_messages_of_tls_1_3(self) -> None:
        ours, theirs = self.tap("client", as_client=True), self.tap("server")
        client = TappedTLS(client_tls(ExpectedTLS("localhost", True), self.authority), ours)
        server = TappedTLS(self.server, theirs)
        verifyObject(IOpenSSLServerConnectionCreator, server)
        verifyObject(IOpenSSLClientConnectionCreator, client)
        self.shake(server, _Client(client))
        ours.secured({})
        theirs.secured({})
        self.assertEqual(self.texts("server", "out")[:6], _SERVER_TLS13)
        self.assertEqual(self.texts("client", "in")[:6], _SERVER_TLS13)
        self.assertEqual(self.texts("server", "in"), ["ClientHello", "ChangeCipherSpec", "Finished"])
        for session in ("client", "server"):
            (secured,) = [event for event in self.events(session) if event.kind is Kind.SECURED]
            self.assertEqual(secured.details["version"], "TLS 1.3")
            self.assertEqual(secured.details["sni"], "localhost")
            self.assertTrue(secured.details["group"])
            self.assertTrue(secured.details["certificates"])

    def test_tls_1_2_is_seen_without_a_key_log(self) -> None:
        tap = self.tap("server")
        self.shake(TappedTLS(self.server, tap), tls12())
        tap.secured({})
        self.assertEqual(self.texts("server", "in")[:2], ["ClientHello", "ClientKeyExchange"])
        self.assertIn("ServerKeyExchange", self.texts("server", "out"))
        (secured,) = [event for event in self.events("server") if event.kind is Kind.SECURED]
        self.assertEqual(secured.details["version"], "TLS 1.2")

    def test_the_secrets_of_the_key_log_are_not_kept(self) -> None:
        tap = self.tap("server")
        secrets: list[bytes] = []
        hear = tap.tls_key_log

        def spy(line: bytes) -> None:
            secrets.extend(bytes.fromhex(word.decode()) for word in line.split()[2:])
            hear(line)

        self.patch(tap, "tls_key_log", spy)
        self.shake(TappedTLS(self.server, tap), client_tls(ExpectedTLS("localhost", False)))
        tap.secured({})
        self.assertGreaterEqual(len(secrets), 4)
        tap.closed("closed")
        kept = "".join(repr(one) for one in _reached(self.records))
        for secret in secrets:
            self.assertNotIn(repr(secret), kept)
            self.assertNotIn(secret.hex(), kept)

    def test_a_refused_certificate_is_an_alert(self) -> None:
        tap = self.tap("server")
        server = TappedTLS(self.server, tap)
        with self.assertRaises(SSL.Error):
            self.shake(server, client_tls(ExpectedTLS("other.example.net", True), self.authority))
        tap.closed("TLS handshake failed")
        self.assertTrue(any(text.startswith("alert ") for text in self.texts("server", "in")))
        self.assertEqual([event for event in self.events("server") if event.kind is Kind.SECURED], [])

    def test_other_connections_have_no_key_log(self) -> None:
        """The callback of a key log costs time in each handshake."""
        usual = self.server.serverConnectionForTLS(NO_PROTOCOL)
        logged = self.server.with_key_log().serverConnectionForTLS(NO_PROTOCOL)
        again = self.server.with_key_log().serverConnectionForTLS(NO_PROTOCOL)
        self.assertIsNot(usual.get_context(), logged.get_context())
        self.assertIs(logged.get_context(), again.get_context())
        self.assertEqual([name for name in vars(usual) if name.startswith("bio_")], [])
        self.server.reload()
        renewed = self.server.with_key_log().serverConnectionForTLS(NO_PROTOCOL)
        self.assertIsNot(renewed.get_context(), logged.get_context())

    def test_a_port_with_tls_from_the_first_octet_records_recorded_sessions_only(self) -> None:
        port = ImplicitTLS(self.server)
        verifyObject(IOpenSSLServerConnectionCreator, port)
        recorded: Any = SimpleNamespace(wrappedProtocol=SimpleNamespace(connection=SimpleNamespace(tap=self.tap("1"))))
        self.assertIn("bio_read", vars(port.serverConnectionForTLS(recorded)))
        for other in (None, SimpleNamespace(connection=object())):
            layer: Any = SimpleNamespace(wrappedProtocol=other)
            self.assertNotIn("bio_read", vars(port.serverConnectionForTLS(layer)))

    def test_facts_of_openssl_stand_in_where_octets_were_not_understood(self) -> None:
        connection = shake_hands(self.server, client_tls(ExpectedTLS("localhost", False)))
        facts = tls_facts(SimpleNamespace(getHandle=lambda: connection))
        self.assertEqual((facts["version"], facts["sni"]), ("TLSv1.3", "localhost"))
        self.assertTrue(facts["group"])
        self.assertEqual(facts["certificates"][0]["issuer"], "CN=emailsys development CA")
        self.assertGreater(datetime.fromisoformat(facts["certificates"][0]["not_after"]), datetime.now(UTC))
        tap = self.tap("1")
        tap.tls_octets(b"HTTP/1.1 400 Bad Request\r\n", True)
        tap.secured(facts)
        (secured,) = [event for event in self.events("1") if event.kind is Kind.SECURED]
        self.assertEqual(secured.details["version"], "TLSv1.3")
        self.assertEqual(tls_facts(object()), {})

    def test_a_certificate_that_cannot_be_read_does_not_end_the_connection(self) -> None:
        """OpenSSL goes on with a version that does not exist; a client that verifies nothing delivers its mail."""
        files = pki.ensure_development_ca(Path(self.mktemp())).certificates[-1]
        der = ssl.PEM_cert_to_DER_cert(files.chain.read_text("ascii").partition("-----END")[0] + _END)
        strange = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)
        self.assertNotEqual(der, strange)
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_ASN1, strange))
        context.use_privatekey_file(str(files.key))
        server: Any = SimpleNamespace(serverConnectionForTLS=lambda layer: SSL.Connection(context))
        connection = shake_hands(server, client_tls(ExpectedTLS("localhost", False)))
        facts = tls_facts(SimpleNamespace(getHandle=lambda: connection))
        self.assertEqual((facts["version"], facts["certificates"]), ("TLSv1.3", []))


class _Client:
    """A client whose creator is another one."""

    def __init__(self, creator: TappedTLS) -> None:
        self.clientConnectionForTLS = creator.clientConnectionForTLS


def _reached(start: object) -> list[object]:
    """Octets and texts that can be reached from the recorder."""
    seen: set[int] = set()
    ahead: list[object] = [start]
    found: list[object] = []
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if isinstance(one, bytes | bytearray | str):
            found.append(one)
        elif isinstance(one, dict | list | tuple) or type(one).__module__.startswith(
            ("emailsys.wiretap", "collections")
        ):
            ahead += gc.get_referents(one)
    return found
