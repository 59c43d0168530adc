"""Weak servers and next hops with a habit, by their dialogues: each has exactly its fault."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.lab.attackers.clients import pour
from emailsys.lab.base.certificates import careful_client
from emailsys.lab.base.client import Client
from emailsys.lab.base.stage import Pki
from emailsys.lab.hosts.mail_host import MailHost
from emailsys.lab.hosts.next_hops import Greylisting, LosesReply
from emailsys.lab.hosts.weak import WeakBufferedDisk, WeakEndOfData, WeakKeepsPlaintext
from emailsys.lab.lessons.smuggling import smuggled


class HostCase(SynchronousTestCase):
    """One host on loopback."""

    def open(self, host: MailHost) -> MailHost:
        self.addCleanup(host.close)
        return host

    def send(self, host: MailHost, message: bytes = b"Subject: x\r\n\r\nHello") -> tuple[str, ...]:
        return pour(host.port, "a@x.test", "b@y.test", message, "me").replies


class WeaknessTests(HostCase):
    """With the fault and, in a correct host, without it."""

    def test_a_dot_between_bare_line_feeds_ends_a_message_only_at_the_weak_server(self) -> None:
        """One message or two."""
        for host, count in ((WeakEndOfData(), 2), (MailHost(), 1)):
            self.send(self.open(host), smuggled())
            self.assertEqual(len(host.stored), count)

    def test_octets_behind_starttls_are_run_only_by_the_weak_server(self) -> None:
        """The reply to NOOP, or to EHLO."""
        pki = Pki(Path(self.mktemp()))
        for host, reply in ((WeakKeepsPlaintext(pki.good), "250 2.0.0 Ok"), (MailHost(pki.good), "250-mx")):
            with Client(self.open(host).port) as client:
                client.reply()
                client.expect("EHLO me", "250")
                client.send(b"STARTTLS\r\nNOOP\r\n")
                self.assertTrue(client.reply().startswith("220"))
                client.start_tls(careful_client(pki.authority))
                self.assertTrue(client.ask("EHLO me").startswith(reply))

    def test_the_buffered_server_says_250_and_has_nothing(self) -> None:
        """Its disk says ENOSPC."""
        host = WeakBufferedDisk()
        self.assertEqual(self.send(self.open(host))[4], "250 2.0.0 Accepted for delivery")
        self.assertEqual((host.stored, len(host.errors)), ([], 1))


class HabitTests(HostCase):
    """What a sender without a queue meets."""

    def test_greylisting_refuses_each_pair_once(self) -> None:
        """The sender that comes back is taken."""
        host = self.open(Greylisting())
        self.assertEqual(self.send(host)[2][:3], "451")
        self.assertEqual(self.send(host)[4][:3], "250")
        self.assertEqual(len(host.stored), 1)

    def test_a_reply_is_lost_once_before_or_after_the_message_is_stored(self) -> None:
        """The sender sees the same in both cases."""
        for stores_first, counts in ((False, [0, 1]), (True, [1, 2])):
            host = self.open(LosesReply(stores_first))
            poured = pour(host.port, "a@x.test", "b@y.test", b"Subject: x\r\n\r\nHello", "me")
            self.assertEqual((poured.final, len(poured.replies)), ("", 4))
            self.assertEqual(len(host.stored), counts[0])
            self.assertEqual(self.send(host)[4][:3], "250")
            self.assertEqual(len(host.stored), counts[1])

    def test_commands_out_of_order_and_unknown_ones_are_refused(self) -> None:
        """A correct host, as far as a lesson needs one."""
        with Client(self.open(MailHost()).port) as client:
            self.assertTrue(client.reply().startswith("220"))
            for command, code in (
                ("DATA", "503"),
                ("STARTTLS", "500"),
                ("AUTH PLAIN x", "500"),
                ("VRFY x", "500"),
                ("MAIL FROM:<a@x>", "250"),
                ("RSET", "250"),
                ("DATA", "503"),
                ("QUIT", "221"),
            ):
                client.expect(command, code)
