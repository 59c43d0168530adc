"""SMTP in worker processes: what they count together, what starts at once, and what a reload changes."""

from __future__ import annotations

import socket
import sys

from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.daemon_requests import Reload
from emailsys.control.requests import RouteSet, Status
from emailsys.mail.next_hop import TLSPolicy
from tests.live.programs import messages
from tests.live.programs.daemon import PATIENCE, Daemon, User, shared
from tests.live.programs.wire import Wire, plain
from tests.live.server.test_workers import serving, until, workers_of


class SMTPTests(SynchronousTestCase):
    """Two workers and the daemon."""

    skip = None if sys.platform == "linux" else "workers need Linux"

    def setUp(self) -> None:
        config = (
            "[smtp]\nmax_connections_per_ip = 4\n[sending]\nrecipients_per_hour = 2\n"
            "[limits]\nexempt_loopback = false\nmax_unknown_recipients = 2\nmax_failed_logins = 1\n"
            # The queue runner must be woken: by itself, it looks once an hour.
            '[queue]\npoll = "1h"\n'
        )
        self.daemon = shared(type(self), lambda: Daemon(config, environment={"EMAILSYS_WORKERS": "2"}))
        # Workers are started when there is a store.
        self.user = self.daemon.user()
        serving(self.daemon, 2)

    def counts(self) -> list[int]:
        """The connections of each worker."""
        return [worker["connections"] for worker in workers_of(self.daemon)["serving"]]

    def connected(self, service: str, source: str) -> Wire:
        wire = Wire(self.daemon, service, source=source)
        self.addCleanup(wire.sock.close)
        self.assertTrue(wire.reply().startswith(b"220 "))
        wire.ask(b"EHLO client.example.org")
        return wire

    def pair(self, service: str, source: str) -> tuple[Wire, Wire]:
        """Connections to both workers: each connection gets to the worker with fewer, if both answer in time."""

        def found() -> tuple[Wire, Wire] | None:
            until(lambda: self.counts() == [0, 0])
            pair = self.connected(service, source), self.connected(service, source)
            if self.counts() == [1, 1]:
                return pair
            for wire in pair:
                wire.close()
            return None

        pair: tuple[Wire, Wire] = until(found)
        return pair

    def test_guesses_at_recipients_are_counted_together(self) -> None:
        one, other = self.pair("smtp", "127.0.0.5")
        domain = self.user.address.partition("@")[2].encode()
        for wire in (one, other):
            self.assertEqual(wire.code(b"MAIL FROM:<a@example.org>"), 250)
            self.assertEqual(wire.code(b"RCPT TO:<nobody@" + domain + b">"), 550)
        self.assertEqual(one.code(b"RCPT TO:<" + self.user.address.encode() + b">"), 451)

    def test_connections_and_failed_logins_are_counted_together(self) -> None:
        one, other = self.pair("submission", "127.0.0.6")
        self.assertEqual(one.code(b"AUTH PLAIN " + plain(User(self.user.name, "wrong"))), 535)
        self.assertEqual(other.code(b"AUTH PLAIN " + plain(self.user)), 454)
        for _ in range(2):
            self.connected("submission", "127.0.0.6")
        refused = Wire(self.daemon, "submission", source="127.0.0.6")
        self.addCleanup(refused.sock.close)
        self.assertIn(b"too many connections from your address", refused.reply())

    def test_mail_to_others_is_counted_together_and_tried_at_once(self) -> None:
        """The third message is held."""
        one, other = self.pair("submission", "127.0.0.7")
        for wire in (one, other):
            self.assertEqual(wire.code(b"AUTH PLAIN " + plain(self.user)), 235)
        with socket.create_server(("127.0.0.1", 0)) as hop:
            hop.settimeout(PATIENCE)
            port = hop.getsockname()[1]
            self.daemon.command(RouteSet("127.0.0.1", TLSPolicy.NONE, port, "elsewhere.example"))
            for wire in (one, other, one):
                self.send(wire, "b@elsewhere.example")
            hop.accept()[0].close()
        held = self.daemon.command(Status())["counters"].get("sending-held")
        self.assertEqual(held, 1)

    def send(self, wire: Wire, recipient: str) -> None:
        """Submit a message."""
        sender = self.user.address
        for command, code in ((f"MAIL FROM:<{sender}>", 250), (f"RCPT TO:<{recipient}>", 250), ("DATA", 354)):
            self.assertEqual(wire.code(command.encode()), code)
        self.assertEqual(wire.code(messages.header(sender, recipient, "one") + b"\r\nhello\r\n."), 250)

    def test_a_reload_changes_the_limits_of_workers(self) -> None:
        path = self.daemon.config_path
        path.write_text(path.read_text().replace("[smtp]\n", "[smtp]\nmax_message_size = 1000000\n"))
        self.assertEqual(self.daemon.command(Reload())["applied"], ["smtp.max_message_size"])

        def announced() -> bool:
            with Wire(self.daemon, "smtp", source="127.0.0.8") as wire:
                wire.reply()
                return b"SIZE 1000000" in wire.ask(b"EHLO client.example.org")

        until(announced)
