"""Connection limits: one client cannot lock out the others."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.admission import Admission, ConnectionLimit, RefusedConnection
from emailsys.testing.memory_peer import STRANGER, MemoryTransport

ONE, OTHER = "192.0.2.7", "192.0.2.8"


def filled(admission: Admission, *ips: str) -> Admission:
    for ip in ips:
        assert admission.refusal(ip) is None, ip
        admission.enter(ip)
    return admission


class AdmissionTests(SynchronousTestCase):
    """Which connections are admitted."""

    def test_an_address_at_its_limit_is_refused_and_others_are_not(self) -> None:
        admission = filled(Admission(0, 2), ONE, ONE)
        self.assertIs(admission.refusal(ONE), ConnectionLimit.PER_ADDRESS)
        self.assertIsNone(admission.refusal(OTHER))

    def test_a_connection_that_ends_makes_room(self) -> None:
        admission = filled(Admission(0, 2), ONE, ONE)
        admission.leave(ONE)
        self.assertIsNone(admission.refusal(ONE))
        filled(admission, ONE)
        self.assertIs(admission.refusal(ONE), ConnectionLimit.PER_ADDRESS)

    def test_nothing_is_kept_of_addresses_without_connections(self) -> None:
        """Otherwise each address of a botnet would stay in memory until the daemon stops."""
        admission = filled(Admission(10, 2), ONE, ONE, OTHER)
        for ip in (ONE, OTHER, ONE):
            admission.leave(ip)
        self.assertEqual(admission._from, {})

    def test_a_network_of_ipv6_counts_as_one_address(self) -> None:
        """A client with one address of the network can use all 2**64."""
        admission = filled(Admission(0, 2), "2001:db8::1", "2001:db8::ffff:1%eth0")
        self.assertIs(admission.refusal("2001:db8::2"), ConnectionLimit.PER_ADDRESS)
        self.assertIsNone(admission.refusal("2001:db8:0:1::2"))

    def test_an_address_mapped_into_ipv6_is_that_address(self) -> None:
        admission = filled(Admission(0, 2), ONE, f"::ffff:{ONE}")
        self.assertIs(admission.refusal(ONE), ConnectionLimit.PER_ADDRESS)
        self.assertIsNone(admission.refusal(f"::ffff:{OTHER}"))

    def test_this_machine_has_no_limit_of_an_address(self) -> None:
        filled(Admission(0, 2), *["127.0.0.1"] * 5, *["::1"] * 5)

    def test_a_trusted_network_has_no_limit_per_address(self) -> None:
        admission = filled(Admission(0, 2, lambda ip: ip == ONE), *[ONE] * 5, OTHER, OTHER)
        self.assertIs(admission.refusal(OTHER), ConnectionLimit.PER_ADDRESS)

    def test_the_last_tenth_is_kept_for_this_machine(self) -> None:
        """An operator can connect even while a client uses all other connections."""
        admission = filled(Admission(20), *[f"192.0.2.{host}" for host in range(18)])
        self.assertIs(admission.refusal("198.51.100.1"), ConnectionLimit.TOTAL)
        filled(admission, "127.0.0.1", "127.0.0.1")
        self.assertIs(admission.refusal("127.0.0.1"), ConnectionLimit.TOTAL)

    def test_without_limits_all_come_in(self) -> None:
        filled(Admission(), *[ONE] * 1000, "")


class RefusedConnectionTests(SynchronousTestCase):
    """A connection over a limit is refused with a reply."""

    def turn_away(self, admission: Admission, clock: Clock, peer: IPv4Address = STRANGER) -> MemoryTransport:
        transport = MemoryTransport(peer)
        refused = RefusedConnection(admission, b"421 no\r\n", clock, 5.0)
        refused.makeConnection(transport)
        self.addCleanup(refused.connectionLost)
        return transport

    def test_a_refused_connection_gets_the_reason_and_is_closed(self) -> None:
        clock = Clock()
        transport = self.turn_away(Admission(), clock)
        self.assertEqual(transport.value(), b"421 no\r\n")
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.aborted)

    def test_an_incomplete_handshake_is_aborted(self) -> None:
        clock = Clock()
        transport = self.turn_away(Admission(), clock)
        clock.advance(4.9)
        self.assertFalse(transport.aborted)
        clock.advance(0.1)
        self.assertTrue(transport.aborted)

    def test_a_lost_connection_leaves_no_timer(self) -> None:
        clock = Clock()
        refused = RefusedConnection(Admission(), b"421 no\r\n", clock, 5.0)
        refused.makeConnection(MemoryTransport())
        refused.connectionLost()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_flood_is_aborted_without_replies(self) -> None:
        """A reply to each would use the resources that the limit protects."""
        clock, admission = Clock(), Admission()
        told = [self.turn_away(admission, clock) for _ in range(101)]
        self.assertEqual([transport.aborted for transport in told], [False] * 100 + [True])
        self.assertEqual(told[-1].value(), b"")

    def test_an_ended_refusal_makes_room_for_another(self) -> None:
        clock, admission = Clock(), Admission()
        for _ in range(300):
            refused = RefusedConnection(admission, b"421 no\r\n", clock, 5.0)
            transport = MemoryTransport()
            refused.makeConnection(transport)
            refused.connectionLost()
            self.assertEqual(transport.value(), b"421 no\r\n")
