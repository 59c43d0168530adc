"""Record of the networks from which accounts log in: written late, once a day, and read at the next start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.interfaces import IKnownNetworks, KnownNetwork, StoreError
from emailsys.policy import known_networks
from emailsys.policy.known_networks import KEPT_DAYS, LoginRecord, Pair
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_known_networks import MemoryKnownNetworks

ALICE = (1, 0)
HOME, OFFICE = (ALICE, "198.51.100.7"), (ALICE, "2001:db8::")
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

    def restored(self) -> list[Pair]:
        """Start the record again, and return the pairs that it restores."""
        self.start()
        found: list[Pair] = []
        self.record.start(found.extend)
        return found

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
        self.assertEqual(self.restored(), [OFFICE, HOME])
        # While the daemon runs, too, the store forgets a network in time.
        self.clock.advance(DAY)
        self.assertEqual(self.store.days, {HOME: TODAY + KEPT_DAYS})
        self.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_networks_are_read_as_soon_as_the_store_can_be_read(self) -> None:
        self.store.days = {HOME: TODAY}
        self.store.fails = StoreError("locked")
        found = self.restored()
        self.assertEqual(found, [])
        self.clock.advance(60)
        self.assertEqual(found, [HOME])

    def test_networks_that_another_node_has_written_are_read_each_minute(self) -> None:
        self.store = MemoryKnownNetworks(is_shared=True)
        self.store.days = {HOME: TODAY - 5}
        pruned: list[int] = []

        async def prune(today: int, kept_days: int, most: int) -> None:
            pruned.append(today)

        self.patch(self.store, "prune", prune)
        found = self.restored()
        self.store.days[OFFICE] = TODAY
        self.clock.advance(60)
        self.assertEqual(found, [HOME, OFFICE])
        self.store.fails = StoreError("away")
        self.clock.advance(60)
        # A login just before midnight may be written after it.
        self.store.days = {HOME: TODAY - 1, OFFICE: TODAY - 2}
        self.clock.advance(60)
        self.assertEqual(found, [HOME, OFFICE, HOME])
        self.assertEqual(pruned, [TODAY])
        self.clock.pump([60] * (DAY // 60))
        self.assertEqual(pruned, [TODAY, TODAY + 1])
        self.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_store_of_one_node_is_read_once(self) -> None:
        found = self.restored()
        self.store.days[OFFICE] = TODAY
        self.clock.advance(DAY)
        self.assertEqual(found, [])

    def test_the_networks_are_read_though_the_store_cannot_prune(self) -> None:
        """A full disk refuses writes."""
        self.store.days = {HOME: TODAY, OFFICE: TODAY - KEPT_DAYS - 1}

        async def prune(today: int, kept_days: int, most: int) -> None:
            raise StoreError("full")

        really = self.store.prune
        self.patch(self.store, "prune", prune)
        found = self.restored()
        self.assertEqual(found, [OFFICE, HOME])
        self.patch(self.store, "prune", really)
        self.clock.advance(60)
        self.assertEqual(self.store.days, {HOME: TODAY})
        self.assertEqual(found, [OFFICE, HOME])

    def test_a_login_by_a_clock_that_was_ahead_is_not_written_into_the_future(self) -> None:
        times = [BEGAN + timedelta(days=400)]
        self.record = LoginRecord(self.store, self.clock, lambda: times[-1], self.telemetry)
        self.record.note(HOME)
        times.append(BEGAN)
        self.clock.advance(60)
        self.assertEqual(self.store.days, {HOME: TODAY})

    def test_one_write_is_in_progress_at_a_time_and_a_stop_leaves_nothing_behind(self) -> None:
        first: Deferred[None] = Deferred()
        written: list[list[KnownNetwork]] = []

        async def note(logins: list[KnownNetwork]) -> None:
            written.append(logins)
            if len(written) == 1:
                await first

        self.patch(self.store, "note", note)
        self.record.note(HOME)
        self.clock.advance(60)
        self.record.note(OFFICE)
        self.clock.advance(600)
        self.assertEqual(len(written), 1)
        stopping = Deferred.fromCoroutine(self.record.stop())
        self.assertNoResult(stopping)
        first.errback(StoreError("locked"))
        self.assertEqual({login.network for login in written[-1]}, {HOME[1], OFFICE[1]})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_login_with_the_new_password_is_written_on_the_same_day(self) -> None:
        """The store has deleted the networks of the old one, and takes none of them any more."""
        self.record.note(HOME)
        self.store.drop(ALICE[0], 1)
        self.clock.advance(60)
        self.assertEqual(self.store.days, {})
        self.record.note(((1, 1), HOME[1]))
        self.clock.advance(60)
        self.assertEqual(self.restored(), [((1, 1), HOME[1])])

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
        """While the store fails, the record keeps no more logins for it than the table holds."""
        self.patch(known_networks, "MAX_KEYS", 3)
        for account in range(5):
            self.record.note(((account, 0), "192.0.2.1"))
        self.assertLessEqual(len(self.record._noted), 3)
        self.assertLessEqual(len(self.record._unwritten), 3)

    def test_logins_that_are_dropped_can_be_noted_again_on_the_same_day(self) -> None:
        self.patch(known_networks, "MAX_KEYS", 1)
        failing: Deferred[None] = Deferred()

        async def note(logins: list[KnownNetwork]) -> None:
            await failing

        really = self.store.note
        self.patch(self.store, "note", note)
        self.record.note(HOME)
        self.clock.advance(60)
        self.patch(known_networks, "MAX_KEYS", 3)
        for account in (2, 3):
            self.record.note(((account, 0), "192.0.2.1"))
        self.patch(known_networks, "MAX_KEYS", 2)
        failing.errback(StoreError("locked"))
        self.patch(self.store, "note", really)
        self.clock.advance(60)
        self.assertEqual(set(self.store.days), {((2, 0), "192.0.2.1"), ((3, 0), "192.0.2.1")})
        self.patch(known_networks, "MAX_KEYS", 9)
        self.record.note(HOME)
        self.clock.advance(60)
        self.assertIn(HOME, self.store.days)

    def test_an_unexpected_exception_is_logged(self) -> None:
        self.store.fails = RuntimeError("bug")
        self.record.note(HOME)
        self.clock.advance(60)
        self.assertEqual(self.telemetry.counters["exception"], 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
