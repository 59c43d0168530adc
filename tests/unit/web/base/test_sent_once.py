"""A repeated request never sends a second time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as Late
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from emailsys.interfaces import ISentKeys, SentKey, StoreError
from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.telemetry import Telemetry
from emailsys.web.base.sent_once import KeyReused, SentOnce
from emailsys.web.base.submission import Sent, SubmissionRefused

ANN, BOB = Address("ann", "example.test"), Address("bob", "example.test")


@implementer(ISentKeys)
class Keys:
    """Keys on a disk that outlives the daemon."""

    def __init__(self) -> None:
        self.is_shared = False
        self.kept: list[SentKey] = []
        self.asked: list[datetime] = []
        self.error: Exception | None = None

    async def since(self, at: datetime) -> Sequence[SentKey]:
        self.asked.append(at)
        if self.error is not None:
            raise self.error
        return list(self.kept)


class SentOnceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.keys, self.clock = Keys(), Clock()
        self.held: list[tuple[str, Deferred[None]]] = []
        self.is_held = False
        self.once = self.start()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.clock.seconds())

    def start(self) -> SentOnce:
        """Return that of a daemon that starts now."""
        return SentOnce(self.keys, Telemetry(), self.now)

    async def submit(self, key: str) -> Sent:
        if self.is_held:
            waiting: Deferred[None] = Deferred()
            self.held.append((key, waiting))
            await waiting
        sent = Sent(f"q{len(self.keys.kept) + 1}", "<m@example.test>", 5)
        self.keys.kept.append(SentKey(key, sent.queue_id, sent.message_id, sent.octets))
        return sent

    def send(self, key: str = "k", content: bytes = b"x", account: Address = ANN) -> Deferred[Sent]:
        return Deferred.fromCoroutine(self.once.send(account, key, content, self.submit))

    def queue_id(self, sending: Deferred[Sent]) -> str:
        return self.successResultOf(sending).queue_id

    def test_a_repetition_is_answered_as_the_first_one(self) -> None:
        self.assertEqual([self.queue_id(self.send()) for _ in range(3)], ["q1"] * 3)
        self.assertEqual(self.queue_id(self.send("other")), "q2")
        self.assertEqual(self.queue_id(self.send(account=BOB)), "q3")
        self.failureResultOf(self.send(content=b"y"), KeyReused)
        self.assertEqual(len(self.keys.kept), 3)

    def test_without_a_key_each_request_sends(self) -> None:
        self.assertEqual([self.queue_id(self.send("")) for _ in range(2)], ["q1", "q2"])

    def test_a_repetition_is_known_after_a_crash(self) -> None:
        self.assertEqual(self.queue_id(self.send()), "q1")
        self.once = self.start()
        self.assertEqual(self.queue_id(self.send()), "q1")
        self.failureResultOf(self.send(content=b"y"), KeyReused)
        self.assertEqual(self.keys.asked[1], self.now() - timedelta(days=1))
        self.clock.advance(121)
        asked = len(self.keys.asked)
        self.assertEqual(self.queue_id(self.send()), "q1")
        self.assertEqual(len(self.keys.asked), asked)

    def test_what_the_former_process_still_commits_after_a_restart_is_known(self) -> None:
        """It finishes its requests while this one serves."""
        former, self.once = self.once, self.start()
        self.assertEqual(self.queue_id(self.send("another")), "q1")
        self.once, successor = former, self.once
        self.assertEqual(self.queue_id(self.send()), "q2")
        self.once = successor
        self.assertEqual(self.queue_id(self.send()), "q2")

    def test_a_request_that_is_cut_off_sends_once(self) -> None:
        """The submission goes on, and a second request waits for it."""
        self.is_held = True
        first = self.send().addTimeout(5, self.clock)
        self.clock.advance(5)
        self.failureResultOf(first, Late)
        gone, second = self.send(), self.send()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.assertNoResult(second)
        self.failureResultOf(self.send(content=b"y"), KeyReused)
        ((_, waiting),) = self.held
        waiting.callback(None)
        self.assertEqual(self.queue_id(second), "q1")
        self.assertEqual(len(self.keys.kept), 1)

    def test_a_refused_message_may_be_changed_and_sent(self) -> None:
        async def refused(key: str) -> Sent:
            raise SubmissionRefused([("", replies.TOO_BIG)])

        self.failureResultOf(Deferred.fromCoroutine(self.once.send(ANN, "k", b"x", refused)), SubmissionRefused)
        self.assertEqual(self.queue_id(self.send(content=b"y")), "q1")

    def test_a_commit_in_doubt_is_looked_up(self) -> None:
        """The store may report a failure although the message reached the disk."""

        async def doubtful(key: str) -> Sent:
            await self.submit(key)
            raise StoreError("the answer was lost")

        self.failureResultOf(Deferred.fromCoroutine(self.once.send(ANN, "k", b"x", doubtful)), StoreError)
        self.assertEqual(self.queue_id(self.send()), "q1")
        self.assertEqual(len(self.keys.kept), 1)

    def test_without_the_keys_nothing_is_sent(self) -> None:
        self.keys.error = StoreError("the disk is gone")
        self.failureResultOf(self.send(), StoreError)
        self.keys.error = None
        self.assertEqual(self.queue_id(self.send()), "q1")

    def test_the_keys_of_other_daemons_are_read_each_time(self) -> None:
        self.keys.is_shared = True
        self.assertEqual(self.queue_id(self.send()), "q1")
        first, self.once = self.once, self.start()
        self.assertEqual(self.queue_id(self.send("theirs")), "q2")
        self.once = first
        self.assertEqual(self.queue_id(self.send("theirs")), "q2")

    def test_a_key_is_forgotten_after_a_day(self) -> None:
        self.assertEqual(self.queue_id(self.send()), "q1")
        self.keys.kept.clear()
        self.clock.advance(86401)
        self.assertEqual(self.queue_id(self.send(content=b"y")), "q1")
