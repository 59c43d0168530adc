"""Handshakes of OpenSSL as an observer sees them."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from emailsys.upstream import offer_key_exchange
from emailsys.wiretap.conversation import Direction, Event, Kind, Role
from emailsys.wiretap.tls.names import TLS13
from emailsys.wiretap.tls.observer import TLSObserver
from tests.fakes.net.tls_pair import Pair, issue, server_context


def client_context(version: int = SSL.TLS1_3_VERSION, ciphers: bytes = b"") -> SSL.Context:
    """A client that speaks at most a version."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    if ciphers:
        context.set_cipher_list(ciphers)
    return context


class TLS13Tests(SynchronousTestCase):
    """TLS 1.3, whose messages after ServerHello are encrypted."""

    def setUp(self) -> None:
        self.issued = issue("mx.example.test", names=("mx.example.test",))
        self.pair = Pair(client_context(), server_context(self.issued), has_key_log=True)

    def test_each_message_with_direction_and_size(self) -> None:
        """Both ends see the same messages, and their sizes add up to the octets of the wire."""
        self.pair.shake_hands()
        names = [
            "ClientHello",
            "ServerHello",
            "ChangeCipherSpec",
            "EncryptedExtensions",
            "Certificate",
            "CertificateVerify",
            "Finished",
            "ChangeCipherSpec",
            "Finished",
        ]
        for role in Role:
            tls = [event for event in self.pair.events[role] if event.kind is Kind.TLS]
            self.assertEqual([event.text for event in tls], [*names, "NewSessionTicket", "NewSessionTicket"])
            sent = sum(len(octets) for sender, octets in self.pair.wire if sender is role)
            self.assertEqual(sum(event.octets for event in tls if event.direction is Direction.OUT), sent)
            received = sum(len(octets) for sender, octets in self.pair.wire if sender is not role)
            self.assertEqual(sum(event.octets for event in tls if event.direction is Direction.IN), received)

    def test_what_was_agreed_on(self) -> None:
        """The value says what OpenSSL says of its own connection."""
        self.pair.shake_hands()
        (secured,) = [event for event in self.pair.events[Role.CLIENT] if event.kind is Kind.SECURED]
        details = dict(secured.details)
        self.assertEqual(details["version"], "TLS 1.3")
        self.assertEqual(details["openssl_cipher"], self.pair.client.get_cipher_name())
        self.assertEqual(details["group"], self.pair.client.get_group_name())
        self.assertEqual(details["sni"], "mx.example.test")
        self.assertEqual(details["signature"], "ecdsa_secp256r1_sha256")
        self.assertIs(details["resumed"], False)
        self.assertIs(details["post_quantum"], "MLKEM" in str(details["group"]))
        self.assertTrue(str(details["forward_secrecy"]).startswith(f"yes: {details['group']}"))
        self.assertEqual(self.pair.observers[Role.SERVER].handshake.certificates, (self.issued.der,))

    def test_over_when_mail_begins(self) -> None:
        """Application data are never opened or counted."""
        self.pair.shake_hands()
        before = len(self.pair.events[Role.CLIENT])
        self.pair.say(Role.CLIENT, b"EHLO me\r\n")
        self.pair.say(Role.SERVER, b"250 you\r\n")
        self.assertTrue(all(observer.is_over for observer in self.pair.observers.values()))
        self.assertEqual(len(self.pair.events[Role.CLIENT]), before)

    def test_without_a_key_log(self) -> None:
        """What is encrypted shows its size only; what is agreed on in the clear is known when the library says so."""
        pair = Pair(client_context(), server_context(self.issued)).shake_hands()
        observer = pair.observers[Role.CLIENT]
        self.assertEqual(pair.names(Role.CLIENT)[:3], ["ClientHello", "ServerHello", "ChangeCipherSpec"])
        told = observer.established(1.0)
        self.assertEqual({event.text for event in told[:-1]}, {"encrypted record"})
        self.assertEqual((told[-1].kind, told[-1].details["version"]), (Kind.SECURED, "TLS 1.3"))
        self.assertEqual(observer.established(2.0), [])

    def test_resumed(self) -> None:
        """A ticket of the session before: no certificate, and a new key exchange."""
        self.pair.shake_hands()
        again = Pair(self.pair.client_context, self.pair.server_context, self.pair.client.get_session()).shake_hands()
        handshake = again.observers[Role.SERVER].handshake
        self.assertEqual((handshake.resumed, handshake.version_code), (True, TLS13))
        self.assertTrue(handshake.forward_secrecy.startswith("yes: "))
        self.assertEqual(again.events[Role.CLIENT][0].details["resumption"], "PSK")

    def test_hello_retry(self) -> None:
        """A server that has no group of the first key share asks for another hello."""
        server = server_context(self.issued)
        offer_key_exchange(SSL, server, b"secp384r1")
        pair = Pair(client_context(), server, has_key_log=True)
        pair.shake_hands()
        self.assertEqual(
            [name for name in pair.names(Role.SERVER) if name.endswith(("Hello", "Request"))],
            ["ClientHello", "HelloRetryRequest", "ClientHello", "ServerHello"],
        )
        self.assertEqual(pair.observers[Role.SERVER].handshake.group, "secp384r1")
        self.assertTrue(pair.observers[Role.SERVER].handshake.retried)

    def test_refused_certificate(self) -> None:
        """The alert of a client that does not trust the server is opened too."""
        context = client_context()
        context.set_verify(SSL.VERIFY_PEER)
        pair = Pair(context, server_context(self.issued), has_key_log=True)
        self.assertRaises(SSL.Error, pair.shake_hands)
        pair.carry()
        self.assertEqual(pair.names(Role.SERVER)[-1], "alert unknown_ca")

    def test_lines_of_other_connections(self) -> None:
        """A context's key log has the lines of all its connections."""
        observer = TLSObserver(Role.SERVER)
        for line in (
            b"",
            b"X Y Z",
            b"SERVER_TRAFFIC_SECRET_0 00 11",
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET xx yy",
            b"\xff" * 99,
        ):
            self.assertEqual(observer.key_log(line), [])


class TLS12Tests(SynchronousTestCase):
    """TLS 1.2, whose messages are in the clear up to Finished."""

    def setUp(self) -> None:
        self.issued = issue("mx.example.test", key=rsa.generate_private_key(65537, 2048))

    def pair(self, ciphers: bytes = b"") -> Pair:
        """A client of TLS 1.2 and the server."""
        return Pair(client_context(SSL.TLS1_2_VERSION, ciphers), server_context(self.issued)).shake_hands()

    def test_each_message(self) -> None:
        """No key log is necessary."""
        pair = self.pair()
        self.assertEqual(
            pair.names(Role.CLIENT)[:-1],
            [
                "ClientHello",
                "ServerHello",
                "Certificate",
                "ServerKeyExchange",
                "ServerHelloDone",
                "ClientKeyExchange",
                "ChangeCipherSpec",
                "Finished",
                "NewSessionTicket",
                "ChangeCipherSpec",
                "Finished",
            ],
        )
        for direction, role in ((Direction.OUT, Role.CLIENT), (Direction.IN, Role.SERVER)):
            octets = sum(event.octets for event in pair.events[Role.CLIENT] if event.direction is direction)
            self.assertEqual(octets, sum(len(octets) for sender, octets in pair.wire if sender is role))
        details = pair.events[Role.CLIENT][-1].details
        self.assertEqual(pair.events[Role.CLIENT][-1].kind, Kind.SECURED)
        self.assertEqual(details["openssl_cipher"], pair.client.get_cipher_name())
        self.assertTrue(str(details["forward_secrecy"]).startswith("yes: "))
        self.assertTrue(str(details["signature"]).startswith("rsa_"))

    def test_static_rsa_has_no_forward_secrecy(self) -> None:
        """The words say what that means."""
        handshake = self.pair(b"AES128-SHA256").observers[Role.SERVER].handshake
        self.assertEqual(handshake.cipher, "TLS_RSA_WITH_AES_128_CBC_SHA256")
        self.assertTrue(handshake.forward_secrecy.startswith("no: static RSA"))

    def test_resumed(self) -> None:
        """The server sends no certificate; forward secrecy is that of the first session."""
        first = self.pair()
        again = Pair(first.client_context, first.server_context, first.client.get_session()).shake_hands()
        handshake = again.observers[Role.CLIENT].handshake
        self.assertTrue(handshake.resumed)
        self.assertTrue(handshake.forward_secrecy.startswith("as in the session"))
        self.assertFalse(first.observers[Role.CLIENT].handshake.resumed)

    def test_no_common_suite(self) -> None:
        """The alert of the server is the last event."""
        server = server_context(self.issued)
        server.set_cipher_list(b"ECDHE-RSA-AES256-GCM-SHA384")
        pair = Pair(client_context(SSL.TLS1_2_VERSION, b"ECDHE-RSA-AES128-GCM-SHA256"), server)
        self.assertRaises(SSL.Error, pair.shake_hands)
        pair.carry()
        self.assertEqual(pair.names(Role.CLIENT), ["ClientHello", "alert handshake_failure"])


class GarbageTests(SynchronousTestCase):
    """What is no TLS."""

    def test_plain_text(self) -> None:
        """A client that talks in clear where TLS is due: one event says so, and nothing is read any more."""
        observer = TLSObserver(Role.SERVER)
        (event,) = observer.feed(Direction.IN, b"EHLO me\r\n", 0.5)
        self.assertEqual((event.text, event.at), ("not understood: octet 69 is no type of a TLS record", 0.5))
        self.assertEqual(observer.feed(Direction.IN, b"x" * 10**6, 0.6), [])
        self.assertEqual(observer.flaw, "octet 69 is no type of a TLS record")

    def test_messages_without_end(self) -> None:
        """A flood of empty records and messages costs a bounded number of events."""
        observer = TLSObserver(Role.CLIENT)
        flood = bytes.fromhex("1603030004 00000000") * 10_000
        found: list[Event] = []
        for _ in range(10):
            found += observer.feed(Direction.IN, flood, 0.0)
        self.assertLess(len(found), 100)
        self.assertTrue(observer.is_over)
