"""Cap of notices: a forged sender address does not get unlimited mail from us."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.delivery import notice_cap
from emailsys.delivery.notice_cap import NoticeCap
from emailsys.interfaces import Fate
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import LocalRoute, RemoteRoute
from emailsys.telemetry import Telemetry
from tests.fakes.store.queue_house import NO_SUCH_USER, System

VICTIM = parse("victim@elsewhere.test")


class Capping(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.telemetry = Telemetry()
        self.cap = NoticeCap(3, self.clock, self.telemetry)

    def notices(self, count: int, to: Address = VICTIM) -> int:
        """Ask for so many notices. Returns how many are sent."""
        return sum(self.cap.take(to, (RemoteRoute(to),), "q1") for _ in range(count))

    def test_an_address_gets_a_few_in_an_hour(self) -> None:
        self.assertEqual(self.notices(10), 3)
        self.assertEqual(self.telemetry.counters["notice-suppressed"], 7)
        self.clock.advance(3600)
        self.assertEqual(self.notices(10), 3)

    def test_another_spelling_is_no_other_address(self) -> None:
        self.assertEqual(self.notices(2) + self.notices(2, parse("VICTIM@Elsewhere.Test")), 3)

    def test_a_domain_gets_ten_times_as_many(self) -> None:
        """The attacker varies the local part."""
        sent = sum(self.notices(1, Address(f"user{n}", "elsewhere.test")) for n in range(100))
        self.assertEqual(sent, 30)
        self.assertEqual(self.notices(1, parse("eve@other.test")), 1)

    def test_accounts_of_this_system_have_no_cap(self) -> None:
        """A newsletter with a hundred wrong addresses is told of each."""
        self.assertTrue(all(self.cap.take(VICTIM, (LocalRoute(1),), "q1") for _ in range(1000)))

    def test_zero_is_no_cap(self) -> None:
        self.cap = NoticeCap(0, self.clock, self.telemetry)
        self.assertEqual(self.notices(1000), 1000)

    def test_many_destinations_need_no_more_memory(self) -> None:
        self.patch(notice_cap, "_MAX_COUNTED", 10)
        sent = sum(self.notices(1, Address("x", f"d{n}.test")) for n in range(200))
        # Two counts for each of the first five; all others share one.
        self.assertEqual(sent, 5 + 30)
        self.assertLessEqual(len(self.cap._counts), 11)


class Bouncing(SynchronousTestCase):
    def test_mail_that_fails_beyond_the_cap_ends_without_a_notice(self) -> None:
        system = System(max_notices=2)
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        for _ in range(4):
            system.accept("bob@away.test", sender="victim@elsewhere.test")
        fates = [one.fate for one in system.store.settlements if str(one.row.forward_path) == "bob@away.test"]
        self.assertEqual(fates, [Fate.FAILED] * 2 + [Fate.FAILED_UNTOLD] * 2)
        self.assertEqual([host for host, _ in system.relay.attempts].count("elsewhere.test"), 2)
