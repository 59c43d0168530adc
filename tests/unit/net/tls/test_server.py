"""A TLS server negotiates, refuses, chooses a certificate by name, and reloads certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys import pki
from emailsys.config.settings import CertificateFiles
from emailsys.net.tls.client import client_context
from emailsys.net.tls.server import ServerTLS, TLSConfigError, describe
from tests.fakes.net.tls_pipe import NO_PROTOCOL, development_tls, move, served, shake_hands

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class SecureTransport(StringTransport):
    """A transport whose handle is an OpenSSL connection, or whatever a test gives it."""

    def __init__(self, handle: object) -> None:
        super().__init__()
        self.handle = handle

    def getHandle(self) -> object:
        return self.handle


def client(ciphers: bytes | None = None, version: int | None = None, lowest: int = SSL.TLS1_2_VERSION) -> SSL.Context:
    """A client that verifies nothing and speaks what it is told to."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(lowest)
    if version is not None:
        context.set_max_proto_version(version)
    if ciphers is not None:
        context.set_cipher_list(ciphers)
    return context


def certificate_of(connection: SSL.Connection) -> x509.Certificate:
    """The certificate that the server showed."""
    certificate = connection.get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return certificate


def key_of(connection: SSL.Connection) -> str:
    """The kind of key in the certificate that the server showed."""
    return type(certificate_of(connection).public_key()).__name__


class NegotiationTests(SynchronousTestCase):
    """Versions and suites: TLS 1.2 and 1.3, forward secrecy only."""

    def setUp(self) -> None:
        self.server, self.authority = development_tls(Path(self.mktemp()))

    def suite(self, ciphers: bytes) -> tuple[str, str]:
        """The suite and the kind of key when a TLS 1.2 client offers these."""
        connection = shake_hands(self.server, client(ciphers, SSL.TLS1_2_VERSION))
        self.assertEqual(connection.get_protocol_version_name(), "TLSv1.2")
        return str(connection.get_cipher_name()), key_of(connection)

    def test_the_server_contexts_provide_twisteds_interface(self) -> None:
        """Twisted's interface for servers."""
        self.assertTrue(verifyObject(IOpenSSLServerConnectionCreator, self.server))

    def test_tls_1_3_is_preferred(self) -> None:
        """A client that can do both gets the newer one."""
        connection = shake_hands(self.server, client())
        self.assertEqual(connection.get_protocol_version_name(), "TLSv1.3")

    def test_rsa_and_ecdsa_suites_of_tls_1_2_work_side_by_side(self) -> None:
        """Both certificates are in one context; each suite gets the certificate it needs."""
        for suite, key in (
            ("ECDHE-RSA-AES256-GCM-SHA384", "RSAPublicKey"),
            ("ECDHE-RSA-AES128-GCM-SHA256", "RSAPublicKey"),
            ("ECDHE-RSA-CHACHA20-POLY1305", "RSAPublicKey"),
            ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECPublicKey"),
            ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECPublicKey"),
            ("ECDHE-ECDSA-CHACHA20-POLY1305", "ECPublicKey"),
        ):
            with self.subTest(suite):
                self.assertEqual(self.suite(suite.encode()), (suite, key))

    def test_the_server_chooses_among_what_is_offered(self) -> None:
        """ECDSA costs us a fifteenth of RSA, whatever the client would rather have."""
        offered = b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"
        self.assertEqual(self.suite(offered)[0], "ECDHE-ECDSA-AES128-GCM-SHA256")

    def test_suites_without_forward_secrecy_are_refused(self) -> None:
        """Static RSA: who gets the key some day reads all recordings."""
        for suite in (b"AES256-GCM-SHA384", b"AES128-GCM-SHA256", b"AES128-SHA"):
            with self.subTest(suite):
                self.assertRaises(SSL.Error, self.suite, suite + b":@SECLEVEL=0")

    def test_suites_with_cbc_or_finite_field_keys_are_refused(self) -> None:
        """CBC has had too many holes, DHE is slow."""
        for suite in (b"ECDHE-RSA-AES128-SHA", b"ECDHE-ECDSA-AES256-SHA384", b"DHE-RSA-AES256-GCM-SHA384"):
            with self.subTest(suite):
                self.assertRaises(SSL.Error, self.suite, suite + b":@SECLEVEL=0")

    def test_tls_1_1_and_1_0_are_refused(self) -> None:
        """RFC 8996."""
        for version in (SSL.TLS1_1_VERSION, SSL.TLS1_VERSION):
            with self.subTest(version):
                old = client(b"DEFAULT:@SECLEVEL=0", version, version)
                self.assertRaises(SSL.Error, shake_hands, self.server, old)

    def test_renegotiation_is_refused(self) -> None:
        """A client that types R into s_client gets no second handshake, and the connection still works."""
        server = self.server.serverConnectionForTLS(NO_PROTOCOL)
        server.set_accept_state()
        peer = SSL.Connection(client(version=SSL.TLS1_2_VERSION), None)
        peer.set_connect_state()

        def turn() -> list[str]:
            """Let each side do its part once; tells what OpenSSL complained of."""
            complaints = []
            for end, other in ((peer, server), (server, peer)):
                try:
                    end.do_handshake()
                    end.recv(1024)
                except SSL.WantReadError:
                    pass
                except SSL.Error as error:
                    complaints += [part[-1] for part in error.args[0]]
                move(end, other)
            return complaints

        for _ in range(4):
            self.assertEqual(turn(), [])
        self.assertTrue(peer.renegotiate())
        self.assertIn("no renegotiation", turn() + turn())
        self.assertEqual(server.total_renegotiations(), 0)

    def test_ten_thousand_connections_share_one_context(self) -> None:
        """Building a context costs a millisecond; it is not done for a connection."""
        first = self.server.serverConnectionForTLS(NO_PROTOCOL)
        second = self.server.serverConnectionForTLS(NO_PROTOCOL)
        self.assertIs(first.get_context(), second.get_context())

    def test_a_verifying_client_is_content(self) -> None:
        """By name and by both addresses."""
        for host in ("localhost", "127.0.0.1", "::1", "[::1]"):
            with self.subTest(host):
                connection = shake_hands(self.server, client_context(host, self.authority))
                self.assertEqual(connection.get_protocol_version_name(), "TLSv1.3")


class DescribeTests(SynchronousTestCase):
    """What the Received field and the log say about TLS."""

    def test_version_and_suite_are_named(self) -> None:
        """As the field's comment has it."""
        server, _ = development_tls(Path(self.mktemp()))
        connection = shake_hands(server, client(b"ECDHE-RSA-AES256-GCM-SHA384", SSL.TLS1_2_VERSION))
        self.assertEqual(describe(SecureTransport(connection)), "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384")

    def test_a_connection_in_the_clear_has_nothing_to_describe(self) -> None:
        """Its transport's handle is a socket, or it has none."""
        self.assertIsNone(describe(StringTransport()))
        self.assertIsNone(describe(SecureTransport(object())))

    def test_before_the_handshake_there_is_nothing_to_describe(self) -> None:
        """OpenSSL would name a version that is not agreed on."""
        server, _ = development_tls(Path(self.mktemp()))
        self.assertIsNone(describe(SecureTransport(server.serverConnectionForTLS(NO_PROTOCOL))))


class ServerNameTests(SynchronousTestCase):
    """Several certificates, chosen by the name that the client asks for (RFC 6066 §3)."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp())
        self.base.mkdir()

    def issue(self, *names: str) -> tuple[CertificateFiles, ...]:
        """An RSA and an ECDSA certificate for these names alone."""
        folder = self.base / names[0].replace("*", "any")
        recipe = self.edited_recipe()
        return served(*pki.ensure_development_ca(folder, names, recipe=recipe).certificates)

    def edited_recipe(self) -> pki.Recipe:
        path = self.base / "recipe.toml"
        text = pki.recipe_path().read_text("utf-8")
        text = text.replace('dns = ["localhost"]', "dns = []").replace('ip = ["127.0.0.1", "::1"]', "ip = []")
        path.write_text(text, "utf-8")
        return pki.read_recipe(path)

    def shown(self, server: ServerTLS, name: str | None, ciphers: bytes | None = None) -> str:
        """The first name of the certificate that a client gets who asks for that name."""
        context = client(ciphers, SSL.TLS1_2_VERSION if ciphers else None)
        connection = shake_hands(server, context, None if name is None else name.encode("ascii"))
        names = certificate_of(connection).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return str(names.get_values_for_type(x509.DNSName)[0])

    def test_the_name_chooses_the_certificate(self) -> None:
        """Case and a final dot make no difference; an unknown name gets the first certificate, as no name does."""
        server = ServerTLS([*self.issue("mail.example.test"), *self.issue("mail.example.net", "pop.example.net")])
        for asked, shown in (
            ("mail.example.test", "mail.example.test"),
            ("mail.example.net", "mail.example.net"),
            ("POP.example.NET", "mail.example.net"),
            ("mail.example.net.", "mail.example.net"),
            ("other.example", "mail.example.test"),
            (None, "mail.example.test"),
        ):
            with self.subTest(asked):
                self.assertEqual(self.shown(server, asked), shown)
        self.assertEqual(server.names, ("mail.example.test", "mail.example.net", "pop.example.net"))

    def test_each_name_has_rsa_and_ecdsa(self) -> None:
        """Also those that are not the default."""
        server = ServerTLS([*self.issue("mail.example.test"), *self.issue("mail.example.net")])
        for ciphers in (b"ECDHE-RSA-AES256-GCM-SHA384", b"ECDHE-ECDSA-AES128-GCM-SHA256"):
            for name in ("mail.example.test", "mail.example.net"):
                with self.subTest(name, ciphers=ciphers):
                    self.assertEqual(self.shown(server, name, ciphers), name)

    def test_a_wildcard_serves_one_label_and_yields_to_an_exact_name(self) -> None:
        """RFC 9525 §6.3."""
        server = ServerTLS(
            [*self.issue("mail.example.test"), *self.issue("*.example.net"), *self.issue("smtp.example.net")]
        )
        self.assertEqual(self.shown(server, "pop.example.net"), "*.example.net")
        self.assertEqual(self.shown(server, "smtp.example.net"), "smtp.example.net")
        self.assertEqual(self.shown(server, "a.b.example.net"), "mail.example.test")
        self.assertEqual(self.shown(server, "example.net"), "mail.example.test")

    def test_a_wildcard_lends_the_kind_that_the_exact_name_lacks(self) -> None:
        """An old client that knows only RSA is served, too."""
        wildcard_rsa, exact_ecdsa = self.issue("*.example.net")[0], self.issue("smtp.example.net")[1]
        server = ServerTLS([wildcard_rsa, exact_ecdsa])
        self.assertEqual(self.shown(server, "smtp.example.net", b"ECDHE-RSA-AES256-GCM-SHA384"), "*.example.net")
        self.assertEqual(self.shown(server, "smtp.example.net", b"ECDHE-ECDSA-AES128-GCM-SHA256"), "smtp.example.net")

    def test_another_servers_certificate_is_not_lent_to_the_default(self) -> None:
        """The default has an RSA certificate only: a client without RSA is refused, and not shown another name."""
        server = ServerTLS([self.issue("mail.example.test")[0], self.issue("mail.example.net")[1]])
        self.assertRaises(SSL.Error, self.shown, server, None, b"ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertEqual(self.shown(server, None), "mail.example.test")

    def test_a_name_of_strange_octets_gets_the_default(self) -> None:
        """What a peer sends as its server name is not always a name."""
        server = ServerTLS([*self.issue("mail.example.test"), *self.issue("mail.example.net")])
        connection = shake_hands(server, client(), b"\xff\xfe<script>")
        self.assertEqual(connection.get_protocol_version_name(), "TLSv1.3")


class ReloadTests(SynchronousTestCase):
    """Certificates are replaced while the daemon runs."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.server, self.authority = development_tls(self.folder)

    def serial(self) -> int:
        return certificate_of(shake_hands(self.server, client())).serial_number

    def test_a_renewed_certificate_is_served_after_a_reload(self) -> None:
        """Not before: the files may be half written."""
        before = self.serial()
        pki.ensure_development_ca(self.folder, renew=True)
        self.assertEqual(self.serial(), before)
        self.server.reload()
        self.assertNotEqual(self.serial(), before)

    def test_a_reload_that_fails_leaves_the_old_certificates_in_use(self) -> None:
        """A renewal that went wrong at night does not stop the mail."""
        before = self.serial()
        for path in self.folder.glob("server-*.key"):
            path.write_text("nonsense")
        self.assertRaises(TLSConfigError, ServerTLS, self.server.certificates)
        self.server.reload()
        self.assertEqual(len(self.server.refused), 2)
        self.assertEqual(self.serial(), before)

    def test_one_damaged_pair_does_not_hold_back_the_renewed_ones(self) -> None:
        """The damaged pair itself keeps its former certificate, which is no longer in any file."""
        rsa, ecdsa = (pair.leaf.serial_number for pair in self.server.pairs)
        pki.ensure_development_ca(self.folder, renew=True)
        (self.folder / "server-rsa.pem").write_text("nonsense")
        self.server.reload()
        self.assertIn("server-rsa.pem: holds no certificate in PEM form", self.server.refused[0])
        after = [pair.leaf.serial_number for pair in self.server.pairs]
        self.assertEqual((after[0] == rsa, after[1] == ecdsa), (True, False))
        shown = certificate_of(shake_hands(self.server, client(b"ECDHE-RSA-AES128-GCM-SHA256", SSL.TLS1_2_VERSION)))
        self.assertEqual(shown.serial_number, rsa)

    def test_a_new_certificate_that_is_invalid_does_not_replace_a_valid_one(self) -> None:
        """A backup was put back, or a renewal for a later date came early."""
        before = self.serial()
        for files in pki.make_variant(self.folder, "expired"):
            (self.folder / f"server-{files.kind}.pem").write_bytes(files.chain.read_bytes())
            (self.folder / f"server-{files.kind}.key").write_bytes(files.key.read_bytes())
        self.server.reload()
        self.assertEqual(self.serial(), before)
        self.assertIn("expired on", self.server.refused[0])

    def test_at_the_start_a_pair_that_cannot_be_served_is_left_out(self) -> None:
        """The other one is served."""
        (self.folder / "server-ecdsa.key").unlink()
        server = ServerTLS(self.server.certificates)
        self.assertEqual([pair.kind for pair in server.pairs], ["RSA"])
        self.assertIn("there is no such key file", server.refused[0])

    def test_a_valid_certificate_is_preferred_to_an_expired_one_of_the_same_name(self) -> None:
        """Whichever is first in the configuration, and whatever kinds they have."""
        expired = served(*pki.make_variant(self.folder, "expired"))
        for pairs in ((*expired, *self.server.certificates[:1]), (*expired, *self.server.certificates)):
            server = ServerTLS(pairs)
            shown = certificate_of(shake_hands(server, client(), b"localhost"))
            self.assertGreater(shown.not_valid_after_utc, datetime.now(UTC))
            self.assertEqual(len(server.invalid()), 2)

    def test_other_certificates_can_take_their_place(self) -> None:
        """As when the configuration was changed."""
        other = pki.ensure_development_ca(Path(self.mktemp()), ["mail.example.net"])
        self.server.reload(served(*other.certificates))
        connection = shake_hands(self.server, client_context("mail.example.net", other.authority))
        self.assertEqual(connection.get_protocol_version_name(), "TLSv1.3")
        self.assertEqual(self.server.certificates, served(*other.certificates))

    def test_a_connection_keeps_what_it_began_with(self) -> None:
        """A session in progress is not disturbed."""
        connection = self.server.serverConnectionForTLS(NO_PROTOCOL)
        context = connection.get_context()
        self.server.reload()
        self.assertIs(connection.get_context(), context)

    def test_the_end_of_the_first_certificate_is_known(self) -> None:
        """For the log, and for who renews."""
        server, _ = development_tls(Path(self.mktemp()), NOW)
        self.assertEqual(server.not_valid_after, NOW + timedelta(days=397))
