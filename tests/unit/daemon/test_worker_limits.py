"""Limits that two workers share: recipients, senders and notices are counted once, by the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import LimitSettings, SendingSettings
from emailsys.daemon.worker_channel import Channel
from emailsys.daemon.worker_limits import SharedGuesses, SharedNoticeLimit, SharedSenderLimits
from emailsys.daemon.worker_requests import Requests, SharedParts
from emailsys.delivery.clock import Timing
from emailsys.delivery.notice_cap import NoticeCap
from emailsys.delivery.sending_counts import Admission
from emailsys.delivery.sending_limits import SendingLimits
from emailsys.interfaces import StoreError, TooMuchHeld
from emailsys.mail import reply
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import Client, Envelope, LocalRoute, Recipient, RemoteRoute, Route
from emailsys.mail.reply import Reply
from emailsys.policy.login_check import VerifiedLogins
from emailsys.policy.unknown_recipients import UnknownRecipients
from tests.fakes.net.smtp_house import Events
from tests.fakes.store.memory_store import MemoryStore

PEER, EXEMPT = "192.0.2.1", "127.0.0.1"
HERE = (LocalRoute(1),)
AWAY = parse("bob@elsewhere.test")


class Worker:
    """Both ends of the channel of one worker, and its limits."""

    def __init__(self, requests: Requests, events: Events, settings: SendingSettings) -> None:
        daemon: Any = self
        self.heard: list[tuple[str, object]] = []
        #: The end of the daemon, and that of the worker.
        self.channel = Channel(requests.handlers(daemon), lambda: None, events)
        own: dict[str, Any] = {}
        self.end = Channel(own, lambda: None, events)
        self.guesses = SharedGuesses(self.end, lambda ip: ip == EXEMPT)
        self.senders = SharedSenderLimits(self.end, settings)
        self.notices = SharedNoticeLimit(self.end)
        own |= {"resolve": self.guesses.resolve, "guessed": self.guesses.guessed}
        for name in ("generation", "delivered", "verified"):
            own[name] = lambda name=name, **fields: self.heard.append((name, fields))
        self._ends = {self.channel: StringTransport(), self.end: StringTransport()}
        for channel, transport in self._ends.items():
            channel.makeConnection(transport)

    def pump(self) -> bool:
        """Carry what was written to the other end. Returns whether there was anything."""
        carried = False
        for here, there in ((self.channel, self.end), (self.end, self.channel)):
            octets = self._ends[here].value()
            self._ends[here].clear()
            there.dataReceived(octets)
            carried = carried or bool(octets)
        return carried


class SharingCase(SynchronousTestCase):
    """A daemon with two workers. Its limits are small."""

    settings = SendingSettings(recipients_per_hour=2, recipients_per_day=0)

    def setUp(self) -> None:
        self.store, self.events = MemoryStore(), Events()
        self.clock = self.store.clock
        timing = Timing(self.clock, self.store.now, lambda: 0.5)
        limits = LimitSettings(max_unknown_recipients=2)
        self.unknown = UnknownRecipients(self.clock, limits, lambda ip: ip == EXEMPT)
        self.sending = SendingLimits(self.settings, self.store.sent_counts, lambda ip: None, timing, self.events)
        self.woken = 0
        outbound: Any = SimpleNamespace(
            unknown=self.unknown,
            sending=self.sending,
            cap=NoticeCap(1, self.clock, self.events),
            runner=SimpleNamespace(wake=self.wake),
        )
        parts: Any = SimpleNamespace(
            directory=SimpleNamespace(changed=self.changed),
            quotas=SimpleNamespace(count_elsewhere=self.changed),
            maildrops=SimpleNamespace(),
        )
        self.parts = parts
        self.changes: list[object] = []
        failed_logins: Any = None
        shared = SharedParts(self.events, parts, failed_logins, VerifiedLogins(), outbound)
        workers: list[Any] = []
        self.requests = Requests(self.clock, shared, lambda: workers)
        workers += [Worker(self.requests, self.events, self.settings) for _ in range(2)]
        self.one: Worker
        self.other: Worker
        self.one, self.other = workers
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(self.sending.stop())))

    def wake(self) -> None:
        self.woken += 1

    def changed(self, what: object) -> None:
        self.changes.append(what)

    def pump(self) -> None:
        while self.one.pump() or self.other.pump():
            pass

    def result(self, waiting: Any) -> Any:
        """The result of a coroutine or a Deferred after all messages have arrived, and delays are over."""
        done = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)
        for _ in range(10):
            self.pump()
            self.clock.advance(1)
        return self.successResultOf(done)


class GuessTests(SharingCase):
    async def found(self) -> Sequence[Route]:
        self.looked += 1
        return HERE

    async def broken(self) -> Sequence[Route]:
        raise StoreError("the disk is full")

    looked = 0

    def look_up(self, worker: Worker, ip: str = PEER) -> Sequence[Route] | Reply:
        found: Sequence[Route] | Reply = self.result(worker.guesses.look_up(ip, self.found))
        return found

    def test_guesses_at_two_workers_reach_one_limit(self) -> None:
        for worker in (self.one, self.other):
            self.assertEqual(self.result(worker.guesses.refuse(PEER)), reply.NO_SUCH_MAILBOX)
        self.assertEqual(self.look_up(self.one), reply.TOO_MANY_UNKNOWN)
        self.assertEqual(self.result(self.other.guesses.refuse(PEER)), reply.TOO_MANY_UNKNOWN)
        self.assertEqual(self.look_up(self.one, "198.51.100.1"), HERE, "another network")
        self.assertEqual(self.looked, 1)

    def test_a_network_that_has_sent_mail_is_not_asked_about_until_it_guesses(self) -> None:
        """It guesses at the other worker."""
        self.assertFalse(self.one.guesses.is_known(PEER))
        self.assertEqual(self.look_up(self.one), HERE)
        self.assertFalse(self.one.guesses.is_known(PEER), "it has sent nothing yet")
        self.one.guesses.accepted(PEER)
        self.assertEqual(self.look_up(self.one), HERE)
        self.assertTrue(self.one.guesses.is_known(PEER))
        self.assertFalse(self.other.guesses.is_known(PEER))
        self.result(self.other.guesses.refuse(PEER))
        self.assertFalse(self.one.guesses.is_known(PEER))
        self.one.guesses.accepted(PEER)
        self.assertEqual(self.look_up(self.one), HERE)
        self.assertTrue(self.one.guesses.is_known(PEER), "the message balances the guess")

    def test_the_turn_of_a_look_up_ends_if_it_fails_or_its_client_has_gone(self) -> None:
        """Four are looked up at a time, of all workers."""
        for _ in range(5):
            failed = Deferred.fromCoroutine(self.one.guesses.look_up(PEER, self.broken))
            self.pump()
            self.failureResultOf(failed, StoreError)
            gone = Deferred.fromCoroutine(self.other.guesses.look_up(PEER, self.found))
            gone.cancel()
            self.failureResultOf(gone)
            self.pump()
        self.assertEqual(self.look_up(self.other), HERE)

    def test_an_exempt_address_asks_nobody(self) -> None:
        self.assertTrue(self.one.guesses.is_known(EXEMPT))
        refused = Deferred.fromCoroutine(self.one.guesses.refuse(EXEMPT))
        self.assertEqual(self.successResultOf(refused), reply.NO_SUCH_MAILBOX)
        self.one.guesses.accepted(EXEMPT)
        self.assertFalse(self.one.pump())


class SenderTests(SharingCase):
    def admit(self, worker: Worker, account: Address) -> Admission:
        recipients = (Recipient(AWAY, (RemoteRoute(AWAY),)),)
        envelope = Envelope(account, recipients, self.store.now(), client=Client("s", PEER, account=account))
        counted = worker.senders.admit(envelope)
        admission: Admission = self.result(counted) if isinstance(counted, Deferred) else counted
        return admission

    def holds(self, admission: Admission) -> list[bool]:
        return [bool(recipient.hold) for recipient in admission.envelope.recipients]

    def test_messages_at_two_workers_reach_one_limit(self) -> None:
        alice = parse("alice@home.test")
        first = self.admit(self.one, alice)
        self.one.senders.log(first, "q1")
        second = self.admit(self.other, alice)
        self.other.senders.log(second, "q2")
        third = self.admit(self.one, alice)
        self.assertEqual([self.holds(one) for one in (first, second, third)], [[False], [False], [True]])
        self.assertTrue(third.crossings[0].is_held)
        self.one.senders.log(third, "q3")
        self.pump()
        self.assertEqual(self.events.counters["sending-held"], 1)

    def test_a_message_that_was_not_accepted_is_not_counted(self) -> None:
        """One whose worker has ended stays counted: it may have been accepted."""
        bob = parse("bob@home.test")
        for _ in range(3):
            self.one.senders.revoke(self.admit(self.one, bob))
            self.pump()
        self.admit(self.one, bob)
        one: Any = self.one
        self.requests.ended(one)
        self.assertEqual(self.holds(self.admit(self.other, bob)), [False])
        self.assertEqual(self.holds(self.admit(self.other, bob)), [True])

    def test_a_flood_of_held_mail_is_refused(self) -> None:
        carol = parse("carol@home.test")
        for _ in range(22):
            self.other.senders.log(self.admit(self.other, carol), "q")
        recipients = (Recipient(AWAY, (RemoteRoute(AWAY),)),)
        client = Client("s", PEER, account=carol)
        refused: Any = self.one.senders.admit(Envelope(carol, recipients, self.store.now(), client=client))
        self.pump()
        self.failureResultOf(refused, TooMuchHeld)

    def test_without_the_database_a_message_that_nodes_count_together_is_not_accepted(self) -> None:
        self.store.sent_counts.is_shared = True
        self.store.sent_counts.fails = StoreError("the server is gone")
        dave = parse("dave@home.test")
        recipients = (Recipient(AWAY, (RemoteRoute(AWAY),)),)
        client = Client("s", PEER, account=dave)
        refused: Any = self.one.senders.admit(Envelope(dave, recipients, self.store.now(), client=client))
        self.pump()
        self.failureResultOf(refused, StoreError)
        for worker, is_held in ((self.one, False), (self.other, False), (self.one, True)):
            self.assertEqual(self.holds(self.admit(worker, dave)), [is_held])

    def test_without_limits_nobody_is_asked(self) -> None:
        self.one.senders.set_limits(SendingSettings(recipients_per_hour=0, recipients_per_day=0))
        admission = self.admit(self.one, AWAY)
        self.one.senders.log(admission, "q")
        self.assertFalse(self.one.pump())


class OtherTests(SharingCase):
    def test_notices_of_two_workers_reach_one_cap(self) -> None:
        """Those that stay here have none."""
        away = (RemoteRoute(AWAY),)
        self.assertTrue(self.one.notices.take(AWAY, HERE, "q"))
        taken = [self.result(worker.notices.take(AWAY, away, "q")) for worker in (self.one, self.other)]
        self.assertEqual(taken, [True, False])
        self.assertEqual(self.events.counters["notice-suppressed"], 1)

    def test_queued_mail_of_a_worker_wakes_the_queue_runner(self) -> None:
        self.one.end.tell("wake")
        self.pump()
        self.assertEqual(self.woken, 1)

    def test_changes_of_one_process_reach_all_others(self) -> None:
        """Of the directory, and of the octets in maildrops with quotas."""
        self.one.end.tell("generation", number=7)
        self.one.end.tell("delivered", delivered=[(1, 4096)])
        self.parts.directory.tell(8)
        self.parts.quotas.tell([(2, 10)])
        self.pump()
        self.assertEqual(self.changes, [7, [[1, 4096]]])
        of_daemon = [("generation", {"number": 8}), ("delivered", {"delivered": [[2, 10]]})]
        of_one = [("generation", {"number": 7}), ("delivered", {"delivered": [[1, 4096]]})]
        self.assertEqual(self.one.heard, of_daemon)
        self.assertEqual(sorted(self.other.heard, key=str), sorted(of_daemon + of_one, key=str))
