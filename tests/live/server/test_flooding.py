"""An attacker takes connections of a running daemon without using them; others still work."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.daemon import Daemon, shared
from tests.live.programs.wire import Wire, plain, pop3

CONFIG = (
    "[limits]\nexempt_loopback = false\n"
    "[smtp]\nmax_connections = 20\nmax_submission_connections = 20\nmax_connections_per_ip = 0\n"
    "[pop3]\nmax_connections = 20\nmax_connections_per_ip = 0\n"
)


class IdleConnectionTests(SynchronousTestCase):
    """Twice as many silent connections as a pool has."""

    def setUp(self) -> None:
        self.daemon = shared(type(self), lambda: Daemon(CONFIG))
        self.bob = self.daemon.user()

    def silent(self, service: str) -> list[Wire]:
        """Connect silent clients, and wait until each has heard something."""
        wires = []
        for number in range(40):
            wire = Wire(self.daemon, service, source=f"127.0.6.{1 + number}")
            self.addCleanup(wire.close)
            wire.line()
            wires.append(wire)
        return wires

    def log_in(self) -> None:
        """Log in to both services."""
        with pop3(self.daemon, self.bob) as wire:
            wire.say(b"QUIT\r\n")
            self.assertTrue(wire.line().startswith(b"+OK"))
        with Wire(self.daemon, "submission") as wire:
            wire.reply()
            wire.ask(b"EHLO client")
            self.assertEqual(wire.code(b"AUTH PLAIN " + plain(self.bob)), 235)

    def test_silent_pop3_clients_do_not_shut_out_others(self) -> None:
        """5,000 of them shut out everybody before."""
        first, *_ = self.silent("pop3")
        self.assertIn(b"-ERR [SYS/TEMP] too many connections", first.until_end())
        self.log_in()

    def test_silent_clients_of_one_port_do_not_shut_out_others_on_another(self) -> None:
        """12 addresses with silent connections to port 25 shut out submission before."""
        self.silent("smtp")
        self.silent("submission")
        self.log_in()
