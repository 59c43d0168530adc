"""The man in the middle and the mail host of another domain, by their dialogues on loopback."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.lab.attackers.middle import ManInTheMiddle, Tampered, leave_alone
from emailsys.lab.base.certificates import careful_client, careless_client
from emailsys.lab.base.client import Client
from emailsys.lab.base.stage import Pki
from emailsys.lab.hosts.mail_host import MailHost
from emailsys.lab.lessons.stripped import strip
from emailsys.wiretap.conversation import Kind


class MiddleTests(SynchronousTestCase):
    """A client talks through the man in the middle."""

    def setUp(self) -> None:
        self.pki = Pki(Path(self.mktemp()))
        self.host = MailHost(self.pki.good)
        self.addCleanup(self.host.close)

    def through(self, attacker: ManInTheMiddle) -> Client:
        self.addCleanup(attacker.close)
        client = Client(attacker.port)
        self.addCleanup(client.close)
        self.assertTrue(client.reply().startswith("220 "))
        return client

    def test_an_eavesdropper_changes_nothing(self) -> None:
        """The message arrives as it was sent, and was read on the way."""
        attacker = ManInTheMiddle(self.host.port, "smtp")
        client = self.through(attacker)
        for command, code in (
            ("EHLO me", "250"),
            ("MAIL FROM:<a@x>", "250"),
            ("RCPT TO:<b@y>", "250"),
            ("DATA", "354"),
        ):
            client.expect(command, code)
        client.send(b"Subject: x\r\n\r\n..dot\r\n.\r\n")
        self.assertEqual(client.reply(), "250 2.0.0 Stored")
        (stored,) = self.host.stored
        self.assertEqual(stored.octets, b"Subject: x\r\n\r\n.dot\r\n")
        self.assertEqual((stored.sender, stored.recipients, stored.over_tls), ("a@x", ["b@y"], False))
        self.assertTrue(attacker.saw(b"..dot"))
        self.assertFalse([event for event in attacker.views[0].conversation().events if event.details])

    def test_the_offer_of_starttls_is_overwritten_and_recorded(self) -> None:
        """The record has both: what the client got, and what the server sent."""
        attacker = ManInTheMiddle(self.host.port, "smtp", strip)
        reply = self.through(attacker).expect("EHLO me", "250")
        self.assertNotIn("STARTTLS", reply)
        self.assertIn("XXXXXXXX", reply)
        (changed,) = [event for event in attacker.views[0].conversation().events if event.details]
        self.assertEqual(changed.details, {"tampered": "changed", "was": "250 STARTTLS"})
        self.assertEqual(strip(True, b"250 STARTTLS\r\n"), leave_alone(True, b""))

    def test_tls_passes_unread_without_a_certificate(self) -> None:
        """The client's TLS is with the real host."""
        attacker = ManInTheMiddle(self.host.port, "smtp")
        client = self.through(attacker)
        client.expect("EHLO me", "250")
        client.expect("STARTTLS", "220")
        client.start_tls(careful_client(self.pki.authority))
        client.expect("EHLO secret.example", "250")
        self.assertFalse(attacker.saw(b"secret.example"))
        self.assertIn(Kind.TLS, [event.kind for event in attacker.views[0].conversation().events])

    def test_tls_is_read_with_a_certificate(self) -> None:
        """A careless client does not notice; both sides have TLS."""
        attacker = ManInTheMiddle(self.host.port, "smtp", certificate=self.pki.variant("untrusted"))
        client = self.through(attacker)
        client.expect("EHLO me", "250")
        client.expect("STARTTLS", "220")
        client.start_tls(careless_client())
        client.expect("EHLO secret.example", "250")
        self.assertTrue(attacker.saw(b"secret.example"))
        self.assertTrue(self.host.views[0].saw(b"secret.example"))

    def test_an_added_command_goes_with_the_line(self) -> None:
        """One segment, two commands."""
        added = b"STARTTLS\r\nNOOP\r\n"
        attacker = ManInTheMiddle(
            self.host.port, "smtp", lambda client, line: Tampered(added, "added") if line == b"STARTTLS\r\n" else None
        )
        client = self.through(attacker)
        client.expect("EHLO me", "250")
        client.expect("STARTTLS", "220")
        client.start_tls(careful_client(self.pki.authority))
        # A correct host has forgotten the NOOP: this is the reply to EHLO.
        self.assertIn("AUTH", client.expect("EHLO me", "250"))

    def test_the_end_of_the_client_ends_the_connection_to_the_host(self) -> None:
        """No connection is left behind."""
        attacker = ManInTheMiddle(self.host.port, "smtp")
        client = self.through(attacker)
        self.assertEqual(client.ask("QUIT"), "221 2.0.0 Bye")
        self.assertEqual(client.read_line(), b"")
