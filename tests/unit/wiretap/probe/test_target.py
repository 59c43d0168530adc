"""Hosts and ports as people write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wiretap.probe.limits import Deadline, Failure, ProbeError
from emailsys.wiretap.probe.target import Protocol, Target, find_addresses, protocol_of, split


class TargetTests(SynchronousTestCase):
    """What is taken apart, and what is refused."""

    def test_split(self) -> None:
        """Names, addresses of both kinds, names beyond ASCII."""
        for text, expected in {
            "mx.Example.org": ("mx.example.org", None),
            "mx.example.org.:25": ("mx.example.org", 25),
            "192.0.2.1:587": ("192.0.2.1", 587),
            "2001:db8::1": ("2001:db8::1", None),
            "[2001:db8::1]:465": ("2001:db8::1", 465),
            "bücher.example": ("xn--bcher-kva.example", None),
        }.items():
            self.assertEqual(split(text), expected, text)

    def test_refused(self) -> None:
        """No host, no port, characters that no name has."""
        for text in (
            "",
            ":25",
            "mx:",
            "mx:0",
            "mx:65536",
            "mx:smtp",
            "[::1",
            "[::1]x",
            "a b",
            "x" * 64,
            "-\x1b[2J",
            "a..b",
        ):
            self.assertRaises(ValueError, split, text)

    def test_protocols_of_ports(self) -> None:
        """The well-known ones."""
        found = [protocol_of(port) for port in (25, 587, 465, 110, 995, 2525)]
        self.assertEqual(found, [*Protocol, None])

    def test_names(self) -> None:
        """An address is never a server name (RFC 6066 §3)."""
        target = Target("::1", 25, Protocol.SMTP, ("::1",), "::1")
        self.assertEqual((str(target), target.server_name, target.is_on_loopback), ("[::1]:25", "", True))

    def test_no_addresses(self) -> None:
        """RFC 2606: the name never exists."""
        error = self.assertRaises(ProbeError, find_addresses, "nobody.invalid", Deadline(30, answer=5))
        self.assertIs(error.failure, Failure.UNREACHABLE)
