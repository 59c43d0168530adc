"""A TLS client that offers names of other protocols by ALPN is refused, and one that offers nothing is served."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.pop3.server import POP3Server
from emailsys.net.smtp.server import ESMTPServer
from emailsys.net.tls.alpn import OtherProtocol
from tests.fakes.net.tls_pipe import NO_PROTOCOL, development_tls, move, shake_hands

SMTP: Any = SimpleNamespace(wrappedProtocol=ESMTPServer)
POP3: Any = SimpleNamespace(wrappedProtocol=POP3Server)


def client(*names: bytes, version: int = SSL.TLS1_3_VERSION) -> SSL.Context:
    """A client that verifies nothing and offers these names."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    if names:
        context.set_alpn_protos(list(names))
    return context


class ALPNTests(SynchronousTestCase):
    """RFC 7301. SMTP and POP3 share the context, the development CA's one for localhost."""

    def setUp(self) -> None:
        self.server, _ = development_tls(Path(self.mktemp()))

    def chosen(self, layer: Any, *names: bytes, **named: Any) -> bytes:
        return bytes(shake_hands(self.server, client(*names, **named), layer=layer).get_alpn_proto_negotiated())

    def test_a_name_of_the_protocol_is_chosen(self) -> None:
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertEqual(self.chosen(POP3, b"http/1.1", b"pop3", version=version), b"pop3")
            self.assertEqual(self.chosen(SMTP, b"esmtp", b"smtp", version=version), b"esmtp")

    def test_names_of_other_protocols_are_refused(self) -> None:
        """A browser that was led here ends at the handshake (ALPACA)."""
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            for layer, names in ((SMTP, (b"h2", b"http/1.1")), (POP3, (b"http/1.1",)), (POP3, (b"smtp",))):
                with self.subTest(version=version, names=names):
                    error = self.assertRaises(OtherProtocol, self.chosen, layer, *names, version=version)
                    self.assertIn(repr(names[0]), str(error))

    def refuse(self) -> tuple[SSL.Connection, SSL.Connection]:
        """Let the server read the ClientHello of a browser, once. Returns both ends."""
        theirs = self.server.serverConnectionForTLS(SMTP)
        theirs.set_accept_state()
        ours = SSL.Connection(client(b"http/1.1"), None)
        ours.set_connect_state()
        self.assertRaises(SSL.WantReadError, ours.do_handshake)
        move(ours, theirs)
        self.assertRaises(OtherProtocol, theirs.do_handshake)
        return ours, theirs

    def test_the_client_hears_which_alert_it_is(self) -> None:
        ours, theirs = self.refuse()
        move(theirs, ours)
        error = self.assertRaises(SSL.Error, ours.do_handshake)
        self.assertIn("no application protocol", str(error))

    def test_a_refusal_leaves_no_error_for_another_connection(self) -> None:
        """OpenSSL has one queue of errors for all connections of a thread."""
        other = shake_hands(self.server, client(), layer=SMTP)
        self.refuse()
        self.assertRaises(SSL.WantReadError, other.recv, 1)

    def test_only_some_of_many_names_are_told(self) -> None:
        names = [b"x%03d" % number for number in range(200)]
        error = self.assertRaises(OtherProtocol, self.chosen, SMTP, *names)
        self.assertLess(len(str(error)), 200)

    def test_a_client_without_alpn_is_served(self) -> None:
        for layer in (SMTP, POP3):
            self.assertEqual(self.chosen(layer), b"")

    def test_a_name_in_sni_makes_no_difference(self) -> None:
        """A certificate of its own has a context of its own."""
        self.assertRaises(OtherProtocol, shake_hands, self.server, client(b"h2"), b"localhost", SMTP)

    def test_without_a_protocol_nothing_is_checked(self) -> None:
        self.assertEqual(self.chosen(NO_PROTOCOL, b"h2"), b"")
