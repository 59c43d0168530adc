"""A TLS client verifies the server and describes each fault of its certificate."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from unittest import SkipTest

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys import pki
from emailsys.config.settings import CertificateFiles
from emailsys.mail.next_hop import ExpectedTLS
from emailsys.net.tls.client import client_context, client_tls
from emailsys.net.tls.peer import PeerCertificateError
from emailsys.net.tls.server import ServerTLS, TLSConfigError
from tests.fakes.net.tls_pipe import NO_PROTOCOL, development_tls, served, shake_hands


def client_hello(**terms: bool) -> bytes:
    """The first octets that a client sends."""
    expected = ExpectedTLS("mx.example.net", False, x25519_only=terms.get("x25519_only", False))
    tls = client_tls(expected, session_tickets=terms.get("session_tickets", True))
    connection = tls.clientConnectionForTLS(NO_PROTOCOL)
    connection.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(16384)


class ClientHelloTests(SynchronousTestCase):
    """What a host sees first."""

    def test_with_x25519_alone_it_fits_into_one_segment(self) -> None:
        """536 octets are the smallest segment that a host must take (RFC 9293 §3.7.1)."""
        self.assertLess(len(client_hello(x25519_only=True)), 536)
        self.assertGreater(len(client_hello()), len(client_hello(x25519_only=True)))

    def test_session_tickets_can_be_switched_off(self) -> None:
        """The extension session_ticket (RFC 5077 §3.2, type 35) is empty in a first hello."""
        extension = b"\x00\x23\x00\x00"
        self.assertIn(extension, client_hello(x25519_only=True))
        self.assertNotIn(extension, client_hello(x25519_only=True, session_tickets=False))


class VerificationTests(SynchronousTestCase):
    """Expired, not yet valid, wrong name, untrusted: refused, each in its own words."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.server, self.authority = development_tls(self.folder)

    def complaint(self, server: ServerTLS, host: str = "localhost") -> str:
        error = self.assertRaises(PeerCertificateError, shake_hands, server, client_context(host, self.authority))
        return str(error)

    def variant(self, name: str) -> ServerTLS:
        """A server that believes its faulty certificate to be good."""
        issued = pki.make_variant(self.folder, name)
        middle = pki.certificate_facts(issued[0].chain).not_after - timedelta(days=1)
        return ServerTLS(served(*issued), lambda: middle)

    def test_the_client_context_provides_twisteds_interface(self) -> None:
        """Twisted's interface for clients."""
        self.assertTrue(verifyObject(IOpenSSLClientConnectionCreator, client_context("localhost")))

    def test_an_expired_certificate_is_refused_with_its_date(self) -> None:
        """The date tells whose clock is wrong."""
        server = self.variant("expired")
        self.assertEqual(
            self.complaint(server),
            f"the certificate of localhost expired on {server.not_valid_after:%Y-%m-%d %H:%M} UTC",
        )

    def test_a_certificate_of_the_future_is_refused_with_its_date(self) -> None:
        """The same."""
        self.assertRegex(
            self.complaint(self.variant("not-yet-valid")),
            r"the certificate of localhost is not valid before \d{4}-\d\d-\d\d \d\d:\d\d UTC",
        )

    def test_a_wrong_name_is_refused_with_the_names_it_has(self) -> None:
        """A name, and an address."""
        server = self.variant("wrong-name")
        self.assertEqual(self.complaint(server), "the certificate of localhost is for wrong.example.test")
        self.assertEqual(
            self.complaint(self.server, "mail.example.test"),
            "the certificate of mail.example.test is for localhost, 127.0.0.1, ::1",
        )
        self.assertIn("the certificate of 192.0.2.1 is for localhost", self.complaint(self.server, "192.0.2.1"))

    def test_an_untrusted_issuer_is_named(self) -> None:
        """So that a user knows which authority to import, or that none was meant."""
        self.assertEqual(
            self.complaint(self.variant("untrusted")),
            "the certificate of localhost is not trusted: its issuer, an authority that nobody trusts, "
            "is not among the trusted authorities",
        )

    def test_the_systems_authorities_do_not_know_the_development_ca(self) -> None:
        """What applies where no file is named."""
        error = self.assertRaises(PeerCertificateError, shake_hands, self.server, client_context("localhost"))
        self.assertIn("its issuer, emailsys development CA, is not among", str(error))

    def test_an_expired_authority_is_named(self) -> None:
        """The server's own certificate is good."""
        now = self.server.not_valid_after - timedelta(days=397)
        old = Path(self.mktemp())
        pki.ensure_development_ca(old, now=now - timedelta(days=3651))
        # The authority was renewed with its key; this client trusts only the certificate that it had before.
        shutil.copy(old / "ca.key", self.folder / "ca.key")
        (self.folder / "ca.pem").unlink()
        renewed = pki.ensure_development_ca(self.folder)
        error = self.assertRaises(
            PeerCertificateError,
            shake_hands,
            ServerTLS(served(*renewed.certificates)),
            client_context("localhost", old / "ca.pem"),
        )
        self.assertIn("is issued by emailsys development CA, whose certificate expired on", str(error))

    def test_a_certificate_for_another_purpose_is_refused(self) -> None:
        """One for clients; and one that is its own issuer and has no names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "someone")])
        now = self.server.not_valid_after - timedelta(days=397)
        builder = x509.CertificateBuilder(
            subject, subject, key.public_key(), 7, now - timedelta(days=1), now + timedelta(days=1)
        )
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        for made, complaint in (
            (builder.add_extension(purpose, critical=False), "is refused: it is not meant for servers"),
            (builder, "the certificate of localhost is for no name at all"),
        ):
            with self.subTest(complaint):
                path = Path(self.mktemp())
                certificate = made.sign(key, SHA256()).public_bytes(Encoding.PEM)
                path.write_bytes(certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
                server = ServerTLS([CertificateFiles(path, path)])
                error = self.assertRaises(PeerCertificateError, shake_hands, server, client_context("localhost", path))
                self.assertIn(complaint, str(error))

    def test_opportunistic_tls_takes_any_certificate(self) -> None:
        """RFC 7435: better than none."""
        connection = shake_hands(self.variant("untrusted"), client_context("localhost", verify=False))
        self.assertEqual(connection.get_protocol_version_name(), "TLSv1.3")

    def test_the_server_name_is_sent_for_names_and_not_for_addresses(self) -> None:
        """RFC 6066 §3: A-labels, no final dot, no address."""
        for host, sent in (
            ("mail.example.test", b"mail.example.test"),
            ("mail.example.test.", b"mail.example.test"),
            ("bücher.example", b"xn--bcher-kva.example"),
            ("127.0.0.1", None),
            ("[::1]", None),
        ):
            with self.subTest(host):
                connection = client_context(host, self.authority).clientConnectionForTLS(NO_PROTOCOL)
                self.assertEqual(connection.get_servername(), sent)


class ClientContextTests(SynchronousTestCase):
    """What a client is given, and refuses before it connects."""

    def test_connections_to_many_servers_share_one_context(self) -> None:
        """Reading the system's authorities costs 20 ms."""
        first = client_context("a.example").clientConnectionForTLS(NO_PROTOCOL)
        second = client_context("b.example").clientConnectionForTLS(NO_PROTOCOL)
        self.assertIs(first.get_context(), second.get_context())

    def test_a_replaced_file_of_authorities_is_read_anew(self) -> None:
        """As when the development CA was removed and made again."""
        folder = Path(self.mktemp())
        server, authority = development_tls(folder)
        shake_hands(server, client_context("localhost", authority))
        other = pki.ensure_development_ca(Path(self.mktemp()))
        authority.write_bytes(other.authority.read_bytes())
        error = self.assertRaises(SSL.Error, shake_hands, server, client_context("localhost", authority))
        self.assertIsInstance(error, PeerCertificateError)

    def test_a_pipe_in_place_of_authorities_is_not_waited_for(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        pipe = Path(self.mktemp())
        os.mkfifo(pipe)
        said = f"{pipe}: holds no authorities to trust, because it is no file"
        self.assertRaisesRegex(TLSConfigError, said, client_context, "localhost", pipe)

    def test_a_file_of_authorities_that_is_of_no_use_is_named(self) -> None:
        """Missing, and not PEM."""
        path = Path(self.mktemp())
        self.assertRaisesRegex(
            TLSConfigError, "the authorities to trust cannot be read", client_context, "a.example", path
        )
        path.write_text("nothing")
        self.assertRaisesRegex(
            TLSConfigError, "contains no certificate of an authority", client_context, "a.example", path
        )

    def test_a_host_that_is_no_name_is_refused(self) -> None:
        """Before a connection is made."""
        for host in ("", "two words", "ü" * 70):
            with self.subTest(host):
                self.assertRaisesRegex(TLSConfigError, "is not the name of a server", client_context, host)
