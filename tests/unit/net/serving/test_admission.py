"""One client does not shut out the others: so many connections in all, so many from one address."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.admission import Admission, TooMany, TurnedAway
from tests.dialogue.peers import STRANGER, MemoryTransport

ONE, OTHER = "192.0.2.7", "192.0.2.8"


def filled(admission: Admission, *ips: str) -> Admission:
    for ip in ips:
        assert admission.refusal(ip) is None, ip
        admission.enter(ip)
    return admission


class AdmissionTests(SynchronousTestCase):
    """Who may come in."""

    def test_an_address_at_its_limit_is_refused_and_others_are_not(self) -> None:
        admission = filled(Admission(0, 2), ONE, ONE)
        self.assertIs(admission.refusal(ONE), TooMany.FROM_ADDRESS)
        self.assertIsNone(admission.refusal(OTHER))

    def test_who_leaves_makes_room(self) -> None:
        admission = filled(Admission(0, 2), ONE, ONE)
        admission.leave(ONE)
        self.assertIsNone(admission.refusal(ONE))
        filled(admission, ONE)
        self.assertIs(admission.refusal(ONE), TooMany.FROM_ADDRESS)

    def test_nothing_is_remembered_of_who_has_left(self) -> None:
        """Else each address of a botnet would stay in memory for as long as the daemon runs."""
        admission = filled(Admission(10, 2), ONE, ONE, OTHER)
        for ip in (ONE, OTHER, ONE):
            admission.leave(ip)
        self.assertEqual(admission._from, {})

    def test_a_network_of_ipv6_counts_as_one_address(self) -> None:
        """Whoever has one address of it has 2**64."""
        admission = filled(Admission(0, 2), "2001:db8::1", "2001:db8::ffff:1%eth0")
        self.assertIs(admission.refusal("2001:db8::2"), TooMany.FROM_ADDRESS)
        self.assertIsNone(admission.refusal("2001:db8:0:1::2"))

    def test_an_address_mapped_into_ipv6_is_that_address(self) -> None:
        admission = filled(Admission(0, 2), ONE, f"::ffff:{ONE}")
        self.assertIs(admission.refusal(ONE), TooMany.FROM_ADDRESS)
        self.assertIsNone(admission.refusal(f"::ffff:{OTHER}"))

    def test_this_machine_has_no_limit_of_an_address(self) -> None:
        filled(Admission(0, 2), *["127.0.0.1"] * 5, *["::1"] * 5)

    def test_a_trusted_network_has_none_either(self) -> None:
        admission = filled(Admission(0, 2, lambda ip: ip == ONE), *[ONE] * 5, OTHER, OTHER)
        self.assertIs(admission.refusal(OTHER), TooMany.FROM_ADDRESS)

    def test_the_last_tenth_is_kept_for_this_machine(self) -> None:
        """An operator can look even while somebody takes all connections there are."""
        admission = filled(Admission(20), *[f"192.0.2.{host}" for host in range(18)])
        self.assertIs(admission.refusal("198.51.100.1"), TooMany.IN_ALL)
        filled(admission, "127.0.0.1", "127.0.0.1")
        self.assertIs(admission.refusal("127.0.0.1"), TooMany.IN_ALL)

    def test_without_limits_all_come_in(self) -> None:
        filled(Admission(), *[ONE] * 1000, "")


class TurnedAwayTests(SynchronousTestCase):
    """What becomes of one too many."""

    def turn_away(self, admission: Admission, clock: Clock, peer: IPv4Address = STRANGER) -> MemoryTransport:
        transport = MemoryTransport(peer)
        turned_away = TurnedAway(admission, b"421 no\r\n", clock, 5.0)
        turned_away.makeConnection(transport)
        self.addCleanup(turned_away.connectionLost)
        return transport

    def test_it_hears_why_and_is_closed(self) -> None:
        clock = Clock()
        transport = self.turn_away(Admission(), clock)
        self.assertEqual(transport.value(), b"421 no\r\n")
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.aborted)

    def test_a_handshake_that_does_not_come_about_is_not_waited_for(self) -> None:
        clock = Clock()
        transport = self.turn_away(Admission(), clock)
        clock.advance(4.9)
        self.assertFalse(transport.aborted)
        clock.advance(0.1)
        self.assertTrue(transport.aborted)

    def test_once_it_is_gone_nothing_is_left_of_it(self) -> None:
        clock = Clock()
        turned_away = TurnedAway(Admission(), b"421 no\r\n", clock, 5.0)
        turned_away.makeConnection(MemoryTransport())
        turned_away.connectionLost()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_flood_of_them_is_aborted_without_a_word(self) -> None:
        """To tell each of them costs what the limit is there to save."""
        clock, admission = Clock(), Admission()
        told = [self.turn_away(admission, clock) for _ in range(101)]
        self.assertEqual([transport.aborted for transport in told], [False] * 100 + [True])
        self.assertEqual(told[-1].value(), b"")

    def test_those_that_were_told_make_room_for_others(self) -> None:
        clock, admission = Clock(), Admission()
        for _ in range(300):
            turned_away = TurnedAway(admission, b"421 no\r\n", clock, 5.0)
            transport = MemoryTransport()
            turned_away.makeConnection(transport)
            turned_away.connectionLost()
            self.assertEqual(transport.value(), b"421 no\r\n")
