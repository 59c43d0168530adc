"""Limits for guessing recipients: who is refused, and who is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import LimitSettings
from emailsys.interfaces import Account
from emailsys.mail import reply
from emailsys.mail.address import parse
from emailsys.mail.envelope import Addressee, Client, Route
from emailsys.mail.reply import Reply
from emailsys.policy.access import Access, Delivery
from emailsys.policy.routing import Router
from emailsys.policy.unknown_recipients import UnknownRecipients
from tests.fakes.store.memory_store import MemoryStore

ATTACKER, OTHER, TRUSTED = "203.0.113.9", "198.51.100.7", "192.0.2.1"
LIMIT = 20


class GuessingTests(SynchronousTestCase):
    """alice exists. Twenty unknown recipients are answered, and a half-life is a quarter of an hour."""

    def setUp(self) -> None:
        self.store = MemoryStore()
        self.alice = self.store.seed_account("alice@home.test")
        self.clock = Clock()
        limits = LimitSettings(max_unknown_recipients=LIMIT)
        self.unknown = UnknownRecipients(self.clock, limits, lambda ip: ip == TRUSTED)
        self.access = Access(Router(self.store.directory), "mail.home.test", unknown=self.unknown)

    def asked(self, name: str, ip: str, account: Account | None = None) -> Deferred[Sequence[Route] | Reply]:
        addressee = Addressee(parse(f"{name}@home.test"), Client("s1", ip), None)
        return Deferred.fromCoroutine(Delivery(self.access, account).validateTo(addressee))

    def look_up(self, ip: str, resolve: Callable[[], Awaitable[Sequence[Route]]]) -> Deferred[Sequence[Route] | Reply]:
        return Deferred.fromCoroutine(self.unknown.look_up(ip, resolve))

    def answer(self, name: str, ip: str = ATTACKER, account: Account | None = None) -> Reply | None:
        """Return the refusal of a recipient, or None if it is accepted."""
        asked = self.asked(name, ip, account)
        self.clock.pump([0.5] * 8)
        answer = self.successResultOf(asked)
        return answer if isinstance(answer, Reply) else None

    def guess(self, times: int) -> None:
        for number in range(times):
            self.assertEqual(self.answer(f"guess{number}"), reply.NO_SUCH_MAILBOX)

    def test_after_twenty_unknown_recipients_all_are_answered_451(self) -> None:
        """933 names a second were answered before. The answer for a name that exists is the same."""
        self.guess(LIMIT)
        for name in ("guess", "alice"):
            self.assertEqual(self.answer(name), reply.TOO_MANY_UNKNOWN)
        self.assertIsNone(self.answer("alice", OTHER))

    def test_parallel_guesses_count_like_guesses_in_a_row(self) -> None:
        asked = [self.asked(f"guess{number}", ATTACKER) for number in range(100)]
        self.clock.pump([0.5] * 8)
        answers = [self.successResultOf(each) for each in asked]
        self.assertEqual(answers.count(reply.NO_SUCH_MAILBOX), LIMIT)

    def test_refusals_are_delayed_more_and_more(self) -> None:
        delays = []
        for number in range(8):
            began = self.clock.seconds()
            asked = self.asked(f"guess{number}", ATTACKER)
            while not asked.called:
                self.clock.advance(0.25)
            delays.append(self.clock.seconds() - began)
        self.assertEqual(delays, [0, 0, 0, 0.5, 1, 2, 4, 4])

    def test_a_known_recipient_is_not_delayed(self) -> None:
        self.guess(LIMIT - 2)
        self.assertTrue(self.asked("alice", ATTACKER).called)

    def test_after_a_while_mail_is_accepted_again(self) -> None:
        self.guess(LIMIT)
        self.clock.advance(120)
        self.assertIsNone(self.answer("alice"))

    def test_accepted_messages_balance_outdated_addresses(self) -> None:
        """A large sender has some outdated addresses in each list."""
        for _ in range(10):
            self.guess(LIMIT // 2)
            for _ in range(LIMIT // 2):
                self.assertIsNone(self.answer("alice"))
                Delivery(self.access, None).accepted(Client("s1", ATTACKER))

    def test_authenticated_clients_and_trusted_hosts_have_no_limit(self) -> None:
        for ip, account in ((ATTACKER, self.alice), (TRUSTED, None)):
            for _ in range(3 * LIMIT):
                asked = self.asked("nobody", ip, account)
                self.assertEqual(self.successResultOf(asked), reply.NO_SUCH_MAILBOX)
            self.assertIsNone(self.answer("alice", ip, account))

    def test_a_network_that_has_sent_mail_does_not_wait_for_the_guesses_of_others(self) -> None:
        """Ten thousand addresses that guess at once delay neither its mail nor that of a new network."""
        known = "203.0.114.1"
        held: Deferred[None] = Deferred()

        async def slow() -> Sequence[Route]:
            await held
            return ()

        async def quick() -> Sequence[Route]:
            return ()

        self.unknown.accepted(known)
        guesses = [self.look_up(f"10.0.{host // 250}.{host % 250}", slow) for host in range(1000)]
        self.assertEqual(self.successResultOf(self.look_up(known, quick)), ())
        new = self.look_up("198.51.100.1", quick)
        self.assertNoResult(new)
        order: list[str] = []

        def note(_: object, who: str) -> None:
            order.append(who)

        _ = new.addCallback(note, "new")
        _ = guesses[-1].addCallback(note, "guess")
        held.callback(None)
        self.assertEqual(order, ["new", "guess"])

    def test_more_recipients_than_may_wait_are_refused_temporarily(self) -> None:
        held: Deferred[None] = Deferred()

        async def slow() -> Sequence[Route]:
            await held
            return ()

        asked = [self.look_up(ATTACKER, slow) for _ in range(10_010)]
        refused = [each for each in asked if each.called]
        self.assertEqual(len(refused), 6)
        self.assertEqual(self.successResultOf(refused[0]), reply.TOO_MANY_LOOK_UPS)
        held.callback(None)

    def test_zero_is_no_limit(self) -> None:
        limits = LimitSettings(max_unknown_recipients=0)
        self.access = Access(
            Router(self.store.directory), "h", unknown=UnknownRecipients(self.clock, limits, lambda ip: False)
        )
        self.guess(100)
