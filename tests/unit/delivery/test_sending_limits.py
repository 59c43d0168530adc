"""Sending limits: who sends too much is warned, then held; a restart does not forget the day."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import SendingSettings
from emailsys.delivery.acceptance import QueueingIntake
from emailsys.delivery.clock import Timing
from emailsys.delivery.notice_writer import NoticeWriter
from emailsys.delivery.sending_limits import SendingLimits
from emailsys.interfaces import ISentCounts, StoreError, TooMuchHeld
from emailsys.interfaces.operators import QueueChange, QueueFilter, RowState
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import Client, Envelope, LocalRoute, Recipient, RemoteRoute
from emailsys.mail.networks import Networks
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_relay import MemoryRouter
from tests.fakes.store.memory_store import MemoryStore

TEN_AN_HOUR = SendingSettings(recipients_per_hour=10, recipients_per_day=30)
ALICE = parse("alice@home.test")
ALL = Address("all", "home.test")
HOUR = 3600.0


async def _here(function: object) -> object:
    """Call a function in this thread."""
    return function()  # type: ignore[operator]


class Limited(SynchronousTestCase):
    # Whether other nodes may count the same senders.
    is_shared = False

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.store.sent_counts.is_shared = self.is_shared
        self.alice = self.store.seed_account("alice@home.test")
        self.boss = self.store.seed_account("boss@home.test")
        self.router = MemoryRouter(
            {
                "alice@home.test": (LocalRoute(self.alice.account_id),),
                "postmaster@home.test": (LocalRoute(self.boss.account_id),),
                "postmaster": (LocalRoute(self.boss.account_id),),
            }
        )
        self.telemetry = Telemetry()
        # A whole hour, so that counts of the hour before weigh nothing at its end.
        self.assertEqual(self.store.now().minute, 0)
        self.start(TEN_AN_HOUR)

    def start(self, settings: SendingSettings) -> None:
        """What the daemon does when it starts."""
        networks = Networks(["192.0.2.0/24"])
        timing = Timing(self.store.clock, self.store.now, lambda: 0.5)
        self.limits = SendingLimits(settings, self.store.sent_counts, networks.network_of, timing, self.telemetry)
        self.successResultOf(Deferred.fromCoroutine(self.limits.load()))
        writer = NoticeWriter(_here)  # type: ignore[arg-type]
        self.intake = QueueingIntake(
            self.store.intake, self.router, "mail.home.test", writer, lambda: None, 4096, self.limits
        )

    def stop(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.limits.stop()))

    def send(
        self, count: int, account: Address | None = ALICE, ip: str = "203.0.113.9", alias: Address | None = None
    ) -> None:
        """Accept a message for so many addresses elsewhere."""
        self.successResultOf(self.submit(count, account, ip, alias))

    def submit(
        self, count: int, account: Address | None = ALICE, ip: str = "203.0.113.9", alias: Address | None = None
    ) -> Deferred[None]:
        incoming = self.intake.begin()
        incoming.write(b"Subject: hello\r\n\r\nhello\r\n")
        routes = [RemoteRoute(Address(f"user{n}", "away.test"), alias is not None, alias) for n in range(count)]
        recipients = (
            [Recipient(route.forward_path, (route,)) for route in routes]
            if alias is None
            else [Recipient(Address("all+tag", "home.test"), tuple(routes))]
        )
        envelope = Envelope(ALICE, recipients, self.store.now(), client=Client("s1", ip, account=account))
        return Deferred.fromCoroutine(incoming.commit(envelope))

    def held(self) -> int:
        asked = self.store.queue_operations.entries(QueueFilter(state=RowState.HELD), 1000)
        return len(self.successResultOf(Deferred.fromCoroutine(asked)))

    def notices(self, account_id: int) -> list[EmailMessage]:
        rows = self.store.drops.get(account_id, [])
        return [email.message_from_bytes(row.octets, policy=email.policy.default) for row in rows]


class Holding(Limited):
    def test_the_fake_keeps_to_the_interface(self) -> None:
        self.assertTrue(verifyObject(ISentCounts, self.store.sent_counts))

    def test_mail_within_the_limit_is_sent(self) -> None:
        self.send(5)
        self.send(5)
        self.assertEqual((self.held(), len(self.store.waiting)), (0, 10))

    def test_mail_beyond_the_limit_is_held_and_says_why(self) -> None:
        self.send(10)
        self.send(1)
        [entry] = [row for row in self.store.waiting if row.on_hold]
        self.assertEqual(entry.last_reply, "held here: alice@home.test has reached its limit of 10 recipients an hour")
        self.assertEqual(self.telemetry.counters["sending-held"], 1)

    def test_one_command_releases_what_is_held(self) -> None:
        self.send(11)
        self.assertEqual(self.held(), 11)
        release = self.store.queue_operations.change(QueueFilter(sender="alice@home.test"), QueueChange.RELEASE)
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(release)), 11)
        self.assertEqual(self.held(), 0)

    def test_a_message_that_is_held_does_not_use_up_the_limit(self) -> None:
        """A newsletter to many waits for the postmaster, and the ordinary mail of its sender goes on."""
        self.send(1000)
        self.send(3)
        self.assertEqual((self.held(), len(self.store.waiting)), (1000, 1003))

    def test_a_flood_is_refused_when_ten_times_the_limit_is_held(self) -> None:
        """It must not fill the disk, nor the list of what the postmaster has to look at."""
        for _ in range(9):
            self.send(11)
        self.failureResultOf(self.submit(11), TooMuchHeld)
        self.assertEqual(self.store.abandoned, 1, "the staged pieces of what is refused are deleted")
        self.assertEqual(self.held(), 99)
        self.send(10)
        self.assertEqual(len(self.store.waiting), 109, "what is within the limit is sent")
        self.store.clock.advance(25 * HOUR)
        self.send(11)
        self.assertEqual(self.held(), 110)

    def test_an_hour_later_there_is_room_again(self) -> None:
        self.send(10)
        self.store.clock.advance(2 * HOUR)
        self.send(10)
        self.assertEqual(self.held(), 0)

    def test_the_hour_before_counts_for_the_part_of_it_that_is_left(self) -> None:
        self.send(10)
        self.store.clock.advance(1.5 * HOUR)
        self.send(5)
        self.assertEqual(self.held(), 0)
        self.send(1)
        self.assertEqual(self.held(), 1)

    def test_the_day_has_a_limit_of_its_own(self) -> None:
        for _ in range(3):
            self.send(10)
            self.store.clock.advance(2 * HOUR)
        self.send(1)
        self.assertEqual(self.held(), 1)
        self.store.clock.advance(25 * HOUR)
        self.send(10)
        self.assertEqual(self.held(), 1)

    def test_messages_may_have_a_limit(self) -> None:
        self.start(SendingSettings(messages_per_hour=2))
        for _ in range(3):
            self.send(1)
        self.assertEqual(self.held(), 1)

    def test_a_lower_limit_counts_at_once(self) -> None:
        """An operator who reloads a lower limit, because an account is abused, does not wait for the next hour."""
        self.start(SendingSettings(recipients_per_hour=500))
        self.send(9)
        self.limits.set_limits(TEN_AN_HOUR)
        self.send(2)
        self.assertEqual(self.held(), 2)

    def test_no_limit_holds_nothing(self) -> None:
        self.start(SendingSettings(recipients_per_hour=0, recipients_per_day=0))
        self.send(5000)
        self.assertEqual(self.held(), 0)

    def test_some_senders_are_unlimited(self) -> None:
        self.start(SendingSettings(recipients_per_hour=1, unlimited=("alice@home.test", "192.0.2.0/24")))
        self.send(5)
        self.send(5, None, "192.0.2.7")
        self.assertEqual(self.held(), 0)

    def test_a_trusted_network_is_one_sender(self) -> None:
        self.send(6, None, "192.0.2.7")
        self.send(6, None, "192.0.2.8")
        self.assertEqual(self.held(), 6)

    def test_an_alias_that_forwards_is_one_sender_whoever_writes_to_it(self) -> None:
        self.send(6, None, "198.51.100.1", alias=ALL)
        self.send(6, None, "203.0.113.1", alias=ALL)
        self.assertEqual(self.held(), 6)

    def test_what_an_account_forwards_is_not_counted_with_what_it_sends(self) -> None:
        """Otherwise a stranger who writes to an account that forwards would stop its owner from sending."""
        self.send(10, None, "198.51.100.1", alias=ALICE)
        self.send(1, None, "198.51.100.1", alias=ALICE)
        self.send(10)
        self.assertEqual(self.held(), 1)

    def test_other_senders_are_not_affected(self) -> None:
        self.send(11)
        self.send(10, parse("bob@home.test"))
        self.assertEqual(self.held(), 11)

    def test_mail_that_was_not_accepted_does_not_count(self) -> None:
        self.store.fail_next_commit = StoreError("disk full")
        incoming = self.intake.begin()
        path = parse("bob@away.test")
        recipients = [Recipient(path, (RemoteRoute(path),))]
        envelope = Envelope(ALICE, recipients, self.store.now(), client=Client("s1", "203.0.113.9", account=ALICE))
        self.failureResultOf(Deferred.fromCoroutine(incoming.commit(envelope)), StoreError)
        self.send(10)
        self.assertEqual(self.held(), 0)

    def test_held_mail_that_was_not_accepted_does_not_count_as_held(self) -> None:
        """Otherwise retries on a full disk would use up the room for held mail, for a day."""
        self.send(10)
        for _ in range(20):
            self.store.fail_next_commit = StoreError("disk full")
            self.failureResultOf(self.submit(11), StoreError)
        self.send(11)
        self.assertEqual(self.held(), 11)


class Telling(Limited):
    def test_at_eighty_percent_the_owner_and_the_postmaster_are_warned_once(self) -> None:
        self.send(7)
        self.assertEqual(self.notices(self.alice.account_id), [])
        self.send(1)
        self.send(1)
        for account in (self.alice, self.boss):
            [notice] = self.notices(account.account_id)
            self.assertEqual(notice["Subject"], "A limit for outgoing mail is near")
            self.assertIn("8 of 10", notice.get_content())
        self.assertEqual(self.telemetry.counters["sending-limit-near"], 1)

    def test_a_notice_of_held_mail_is_sent_once_a_day(self) -> None:
        for _ in range(4):
            self.send(11)
        [notice] = self.notices(self.boss.account_id)
        self.assertEqual(notice["Subject"], "Outgoing mail is held")
        self.assertIn("emailsys queue list --status held", notice.get_content())
        self.store.clock.advance(26 * HOUR)
        self.send(11)
        self.assertEqual(len(self.notices(self.boss.account_id)), 2)

    def test_a_network_has_no_owner_but_a_postmaster(self) -> None:
        self.send(11, None, "192.0.2.7")
        [notice] = self.notices(self.boss.account_id)
        self.assertEqual(notice["To"], "postmaster@mail.home.test")
        self.assertIn("192.0.2.0/24 has reached", notice.get_content())


class Remembering(Limited):
    def test_a_restart_forgets_neither_counts_nor_what_was_told(self) -> None:
        self.send(9)
        self.stop()
        self.start(TEN_AN_HOUR)
        self.send(2)
        self.assertEqual(self.held(), 2)
        self.assertEqual(len(self.notices(self.boss.account_id)), 2, "the warning, and that mail is held")
        self.stop()
        self.start(TEN_AN_HOUR)
        self.send(2)
        self.assertEqual(len(self.notices(self.boss.account_id)), 2)

    def test_a_crash_forgets_a_few_seconds(self) -> None:
        self.send(9)
        self.store.clock.advance(5)
        self.start(TEN_AN_HOUR)
        self.send(2)
        self.assertEqual(self.held(), 2)

    def test_a_store_that_fails_is_written_later(self) -> None:
        self.send(9)
        self.store.sent_counts.fails = StoreError("locked")
        self.store.clock.pump([5, 5])
        [row] = self.store.sent_counts.rows.values()
        self.assertEqual((row.messages, row.recipients), (1, 9))

    def test_a_clock_that_was_ahead_neither_forgets_the_counts_nor_keeps_them(self) -> None:
        self.send(10)
        self.store.jumped = 400 * 24 * HOUR
        self.send(10)
        self.store.jumped = 0.0
        self.send(1)
        self.assertEqual(self.held(), 1)
        self.store.clock.advance(26 * HOUR)
        self.send(10)
        self.assertEqual(self.held(), 1)

    def test_a_clock_that_was_behind_for_a_while_refuses_no_mail(self) -> None:
        """A write at the wrong hour moves the counts of the right one."""
        self.send(1)
        self.store.jumped = -2 * HOUR
        self.store.clock.advance(6)
        self.store.jumped = 0.0
        self.send(1)
        self.assertEqual((self.held(), len(self.store.waiting)), (0, 2))
