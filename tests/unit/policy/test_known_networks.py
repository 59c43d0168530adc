"""Record of the networks from which accounts log in: written late, once a day, and read at the next start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.interfaces import IKnownNetworks, StoreError
from emailsys.policy import known_networks
from emailsys.policy.known_networks import KEPT_DAYS, LoginRecord, Pair
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_known_networks import MemoryKnownNetworks

HOME, OFFICE = (1, "198.51.100.7"), (1, "2001:db8::")
BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = 86_400
TODAY = int(BEGAN.timestamp()) // DAY


class LoginRecordTests(SynchronousTestCase):
    """L{LoginRecord} over a store in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryKnownNetworks()
        self.telemetry = Telemetry()
        self.start()

    def start(self) -> None:
        def now() -> datetime:
            return BEGAN + timedelta(seconds=self.clock.seconds())

        self.record = LoginRecord(self.store, self.clock, now, self.telemetry)

    def load(self) -> list[Pair]:
        return list(self.successResultOf(Deferred.fromCoroutine(self.record.load())))

    def stop(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.record.stop()))

    def test_the_fake_keeps_to_its_interface(self) -> None:
        self.assertTrue(verifyObject(IKnownNetworks, self.store))

    def test_logins_are_written_together_some_time_later_and_once_a_day(self) -> None:
        """A client that polls each minute costs the store one row a day."""
        for pair in (HOME, OFFICE, HOME):
            self.record.note(pair)
        self.assertEqual(self.store.days, {})
        self.clock.advance(60)
        self.assertEqual(self.store.days, {HOME: TODAY, OFFICE: TODAY})
        self.record.note(HOME)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(DAY)
        self.record.note(HOME)
        self.clock.advance(60)
        self.assertEqual(self.store.days, {HOME: TODAY + 1, OFFICE: TODAY})

    def test_a_restart_knows_the_networks_of_the_last_months(self) -> None:
        self.record.note(OFFICE)
        self.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(KEPT_DAYS * DAY)
        self.record.note(HOME)
        self.stop()
        self.start()
        self.assertEqual(self.load(), [OFFICE, HOME])
        self.clock.advance(DAY)
        self.assertEqual(self.load(), [HOME])

    def test_a_store_that_fails_gets_the_logins_later(self) -> None:
        self.store.fails = StoreError("locked")
        self.record.note(HOME)
        self.clock.advance(60)
        self.assertEqual(self.store.days, {})
        self.record.note(OFFICE)
        self.clock.advance(60)
        self.assertEqual(self.store.days, {HOME: TODAY, OFFICE: TODAY})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_memory_is_bounded(self) -> None:
        """The networks are written, but while the store is away no more than the table holds are kept for it."""
        self.patch(known_networks, "MAX_KEYS", 3)
        for account in range(5):
            self.record.note((account, "192.0.2.1"))
        self.store.fails = StoreError("locked")
        self.clock.advance(60)
        self.stop()
        self.assertEqual(self.store.days, {})
        self.assertLessEqual(len(self.record._noted), 3)

    def test_an_unexpected_exception_is_logged(self) -> None:
        self.store.fails = RuntimeError("bug")
        self.record.note(HOME)
        self.clock.advance(60)
        self.assertEqual(self.telemetry.counters["exception"], 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
