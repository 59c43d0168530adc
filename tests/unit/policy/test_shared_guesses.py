"""Guesses on several nodes: an attacker gains nothing by asking another node."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import LimitSettings, LoginSettings
from emailsys.interfaces import StoreError, TooManyGuesses
from emailsys.mail import reply
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.shared_guesses import SharedGuesses
from emailsys.policy.unknown_recipients import UnknownRecipients
from emailsys.telemetry import Telemetry

ATTACKER, HOME = "192.0.2.66", "198.51.100.7"
LIMIT = 4
ALICE = (1, 0)


class Node:
    """The limits of a node. `sent` has its batches; `arrive` gives them to the other node."""

    def __init__(self, clock: Clock) -> None:
        limits = LimitSettings(max_failed_logins=LIMIT, max_unknown_recipients=LIMIT)
        self.logins = FailedLogins(clock, limits, LoginSettings(), lambda ip: False, lambda pair: None)
        self.unknown = UnknownRecipients(clock, limits, lambda ip: False)
        self.sent: list[str] = []
        #: Set while the database needs time for a batch.
        self.sending: Deferred[None] | None = None
        self.guesses = SharedGuesses(self._send, Telemetry())
        self.logins.share(self.guesses)
        self.unknown.share(self.guesses)
        self._guessed = 0

    async def _send(self, batch: str) -> None:
        self.sent.append(batch)
        if self.sending is not None:
            await self.sending

    def arrive(self, other: Node) -> None:
        """Let the other node hear the batches."""
        for batch in self.sent:
            other.guesses.heard(batch)
        self.sent.clear()

    def login(self, ip: str, is_right: bool = False) -> Deferred[bool]:
        """Log in as Alice. Each wrong password is another one."""
        self._guessed += 1

        async def verify() -> bool:
            return is_right

        return Deferred.fromCoroutine(self.logins.verify(ALICE, ip, b"%d" % self._guessed, verify))


class SharedGuessesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.first, self.second = Node(self.clock), Node(self.clock)

    def fail_to_log_in(self, node: Node, ip: str, times: int) -> None:
        for _ in range(times):
            failed = node.login(ip)
            self.clock.pump([4.0])
            self.assertFalse(self.successResultOf(failed))

    def test_failed_logins_on_one_node_are_refused_by_another(self) -> None:
        self.fail_to_log_in(self.first, ATTACKER, LIMIT)
        self.first.arrive(self.second)
        self.failureResultOf(self.second.login(ATTACKER), TooManyGuesses)
        self.assertTrue(self.successResultOf(self.second.login(HOME, True)), "others log in")
        self.assertEqual(self.second.sent, [], "what was heard is not told again, nor is a good login")

    def test_failed_logins_from_a_network_of_the_owner_are_counted_together_too(self) -> None:
        for node in (self.first, self.second):
            self.assertTrue(self.successResultOf(node.login(HOME, True)))
        self.fail_to_log_in(self.first, HOME, LIMIT)
        self.first.arrive(self.second)
        self.failureResultOf(self.second.login(HOME), TooManyGuesses)

    def test_unknown_recipients_are_counted_together(self) -> None:
        told: list[str] = []
        self.second.unknown.tell = told.append
        for _ in range(LIMIT):
            refused = Deferred.fromCoroutine(self.first.unknown.refuse(ATTACKER))
            self.clock.pump([4.0])
            self.assertIs(self.successResultOf(refused), reply.NO_SUCH_MAILBOX)
        self.first.arrive(self.second)
        self.assertTrue(self.second.unknown.has_guessed(ATTACKER))
        self.assertEqual(told, [ATTACKER] * LIMIT, "its workers count, too")
        self.assertFalse(self.second.unknown.has_guessed(HOME))

    def test_an_accepted_message_takes_an_unknown_recipient_back_on_all_nodes(self) -> None:
        """Otherwise the node that gets little of a large sender's mail would refuse all of it."""
        for _ in range(2 * LIMIT):
            refused = Deferred.fromCoroutine(self.first.unknown.refuse(HOME))
            self.clock.pump([4.0])
            self.assertIs(self.successResultOf(refused), reply.NO_SUCH_MAILBOX)
            self.first.unknown.accepted(HOME)
        self.first.arrive(self.second)
        self.assertFalse(self.second.unknown.has_guessed(HOME))
        self.first.unknown.accepted(HOME)
        self.assertEqual(self.first.sent, [], "mail from a network without unknown recipients sends no notice")

    def test_what_is_counted_while_a_batch_is_sent_goes_into_one_batch(self) -> None:
        self.first.sending = Deferred()
        for _ in range(3):
            self.first.guesses.note("network", ATTACKER)
        self.assertEqual(self.first.sent, [f"1 network {ATTACKER}"])
        self.first.sending.callback(None)
        self.assertEqual(self.first.sent[1:], [f"2 network {ATTACKER}"])

    def test_many_addresses_are_told_in_texts_that_postgresql_passes_on(self) -> None:
        self.first.sending = Deferred()
        addresses = [f"192.0.{number // 256}.{number % 256}" for number in range(1000)]
        for address in addresses:
            self.first.guesses.note("network", address)
        self.first.sending.callback(None)
        self.assertLess(max(map(len, self.first.sent)), 8000)
        self.first.arrive(self.second)
        self.assertEqual(len(self.second.logins._networks), 1000)

    def test_without_the_database_nothing_is_kept(self) -> None:
        self.first.sending = Deferred()
        self.first.guesses.note("network", ATTACKER)
        self.first.guesses.note("network", ATTACKER)
        self.first.sending.errback(StoreError("no connection"))
        self.first.sending = None
        self.first.guesses.note("network", HOME)
        self.assertEqual(self.first.sent[1:], [f"1 network {HOME}"])

    def test_what_cannot_be_read_is_ignored(self) -> None:
        for batch in (
            "",
            "x",
            "0 network 192.0.2.1",
            "1000 network 192.0.2.1",
            "1 other key",
            "1 pair x y z",
            "1 pair",
        ):
            self.first.guesses.heard(batch)
        self.assertEqual(len(self.first.logins._networks), 0)
