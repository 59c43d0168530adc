"""Limits for guesses: who is refused, who is delayed, and who is neither."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import LimitSettings, LoginSettings
from emailsys.interfaces import LoginBusy, PasswordId, StoreError, TooManyGuesses
from emailsys.policy import failed_logins
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.known_networks import Pair

ALICE, BOB = (1, 0), (2, 0)
ATTACKER, HOME, OFFICE = "192.0.2.66", "198.51.100.7", "203.0.113.5"
LIMIT = 10


class FailedLoginsTestCase(SynchronousTestCase):
    """Ten failed logins, then no more; a half-life of a quarter of an hour."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.build(LimitSettings(max_failed_logins=LIMIT), lambda ip: ip == "127.0.0.1")

    def build(self, limits: LimitSettings, is_exempt: Callable[[str], bool] = lambda ip: False) -> None:
        login = LoginSettings(hashing_threads=2, max_waiting=1000)
        self.noted: list[Pair] = []
        self.limits = FailedLogins(self.clock, limits, login, is_exempt, self.noted.append)
        self.verified = 0

    def log_in(
        self, ip: str, password: str = "", account: PasswordId | None = ALICE, wait: Deferred[None] | None = None
    ) -> Deferred[bool]:
        """Log in. The password "right" is the right one; without a password, each is another wrong one."""

        async def verify() -> bool:
            self.verified += 1
            if wait is not None:
                await wait
            if password == "store":
                raise StoreError("locked")
            return password == "right"

        digest = f"{account} {password or self.verified}".encode()
        return Deferred.fromCoroutine(self.limits.verify(account, ip, digest, verify))

    def right(self, ip: str, account: PasswordId = ALICE) -> None:
        self.assertTrue(self.successResultOf(self.log_in(ip, "right", account)))

    def refused(self, ip: str, password: str = "", account: PasswordId | None = ALICE) -> None:
        before = self.verified
        self.failureResultOf(self.log_in(ip, password, account), TooManyGuesses)
        self.assertEqual(self.verified, before)

    def wrong(self, ip: str, times: int = 1, account: PasswordId | None = ALICE, password: str = "") -> None:
        for _ in range(times):
            answer = self.log_in(ip, password, account)
            self.clock.pump([0.5] * 8)
            self.assertFalse(self.successResultOf(answer))


class RefusalTests(FailedLoginsTestCase):
    """Who is refused without verification."""

    def test_after_ten_failed_logins_a_network_is_refused_even_with_the_right_password(self) -> None:
        """Otherwise the refusal would tell a wrong guess from a right one."""
        self.wrong(ATTACKER, LIMIT)
        self.refused(ATTACKER)
        self.refused(ATTACKER, "right")

    def test_neither_other_accounts_nor_unknown_names_give_more_guesses(self) -> None:
        self.wrong(ATTACKER, 5)
        self.wrong(ATTACKER, 5, account=None)
        for account in (BOB, None):
            self.refused(ATTACKER, account=account)

    def test_parallel_guesses_count_like_guesses_in_a_row(self) -> None:
        """109 guesses over parallel connections from one address were answered in 6 seconds before."""
        answers = [self.log_in(ATTACKER) for _ in range(109)]
        self.clock.pump([0.5] * 8)
        answered = 0
        for answer in answers:
            if isinstance(answer.result, bool):
                answered += 1
            else:
                self.failureResultOf(answer, TooManyGuesses)
        self.assertEqual((answered, self.verified), (LIMIT, LIMIT))

    def test_at_most_twenty_guesses_are_answered_in_a_minute(self) -> None:
        for _ in range(600):
            _ = self.log_in(ATTACKER).addErrback(lambda failure: failure.trap(TooManyGuesses))
            self.clock.advance(0.1)
        self.assertGreaterEqual(self.verified, LIMIT)
        self.assertLessEqual(self.verified, 20)

    def test_an_ipv6_network_is_one_client_and_its_neighbour_another(self) -> None:
        for host in range(LIMIT):
            self.wrong(f"2001:db8::{host:x}")
        self.refused("2001:db8::ffff")
        self.wrong("2001:db8:0:1::1")

    def test_a_customer_with_thousands_of_ipv6_networks_has_the_guesses_of_twenty(self) -> None:
        for number in range(20 * LIMIT):
            _ = self.log_in(f"2001:db8:0:{number % 20:x}::1")
        self.refused("2001:db8:0:ffff::1")
        self.wrong("2001:db8:1::1")

    def test_after_a_while_a_network_may_guess_again(self) -> None:
        self.wrong(ATTACKER, LIMIT)
        self.refused(ATTACKER)
        self.clock.advance(900)
        self.right(ATTACKER)

    def test_a_login_without_an_answer_of_the_store_does_not_count(self) -> None:
        """A store that does not answer says nothing about a password."""
        for _ in range(3 * LIMIT):
            self.failureResultOf(self.log_in(ATTACKER, "store"), StoreError)
        self.right(ATTACKER)

    def test_correct_logins_do_not_count(self) -> None:
        """An office behind one address logs in at nine o'clock."""
        answers = [self.log_in(OFFICE, "right", (account, 0)) for account in range(100)]
        self.assertTrue(all(self.successResultOf(answer) for answer in answers))

    def test_this_machine_has_no_limit(self) -> None:
        answers = [self.log_in("127.0.0.1") for _ in range(100)]
        self.assertFalse(any(self.successResultOf(answer) for answer in answers))

    def test_zero_is_no_limit(self) -> None:
        self.build(LimitSettings(max_failed_logins=0))
        self.wrong(ATTACKER, 100)
        self.right(ATTACKER)


class OwnerTests(FailedLoginsTestCase):
    """An attacker cannot lock out an owner."""

    def test_a_network_that_the_owner_uses_is_not_refused_for_the_guesses_of_others(self) -> None:
        """An attacker behind the same address, such as that of a provider or of a university."""
        self.right(HOME)
        self.wrong(HOME, LIMIT, account=BOB)
        self.refused(HOME, account=BOB)
        self.right(HOME)

    def test_guesses_from_elsewhere_do_not_count_for_the_owner(self) -> None:
        self.wrong(ATTACKER, LIMIT)
        self.right(HOME)
        self.refused(ATTACKER, "right")

    def test_a_network_that_was_known_before_a_restart_is_known_at_once(self) -> None:
        """During an attack from the same address, the owner need not wait like an unauthenticated stranger."""
        self.wrong(OFFICE, LIMIT, account=BOB)
        self.limits.restore([(ALICE, OFFICE), (BOB, HOME)])
        self.right(OFFICE)
        self.refused(OFFICE, "right", BOB)
        self.assertEqual(self.noted, [(ALICE, OFFICE)])

    def test_what_was_learned_before_the_networks_were_read_is_kept(self) -> None:
        """Wrong passwords of this process are recognised, and a right login is noted wherever it came from."""
        self.right(HOME)
        self.wrong(HOME, password="old")
        self.limits.restore([(ALICE, OFFICE), (ALICE, HOME)])
        before = self.verified
        self.wrong(HOME, password="old")
        self.assertEqual(self.verified, before)
        self.wrong(OFFICE)
        self.assertEqual(self.noted, [(ALICE, HOME)])

    def test_an_account_with_a_new_password_has_no_known_networks(self) -> None:
        """A thief who knew the old one guesses like everybody else."""
        self.right(HOME)
        self.right(HOME, BOB)
        self.wrong(HOME, LIMIT, None)
        self.right(HOME)
        self.refused(HOME, "right", (ALICE[0], ALICE[1] + 1))
        self.right(HOME, BOB)

    def test_a_known_network_has_its_limit_too(self) -> None:
        self.right(HOME)
        self.wrong(HOME, LIMIT)
        self.refused(HOME)

    def test_a_device_with_an_old_password_does_not_lock_out_its_owner(self) -> None:
        """It polls every minute. Most polls are refused, and none is verified again."""
        self.right(HOME)
        self.wrong(HOME, password="old")
        verified = self.verified
        for _ in range(100):
            answer = self.log_in(HOME, "old")
            self.clock.pump([0.5] * 120)
            _ = answer.addErrback(lambda failure: failure.trap(TooManyGuesses))
        self.assertEqual(self.verified, verified)
        self.right(HOME)

    def test_a_device_with_an_old_password_does_not_lock_out_its_neighbours(self) -> None:
        """It polls every minute in a network from which its account has not logged in since the daemon started."""
        self.wrong(OFFICE, password="old")
        verified = self.verified
        for _ in range(100):
            answer = self.log_in(OFFICE, "old")
            self.clock.pump([0.5] * 120)
            _ = answer.addErrback(lambda failure: failure.trap(TooManyGuesses))
        self.assertEqual(self.verified, verified)
        self.right(OFFICE, BOB)
        self.right(OFFICE)

    def test_the_oldest_wrong_passwords_are_forgotten(self) -> None:
        self.patch(failed_logins, "_MAX_WRONG", 2)
        for password in ("1", "2", "1", "3"):
            self.wrong(OFFICE, password=password)
        before = self.verified
        self.wrong(OFFICE, password="1")
        self.assertEqual(self.verified, before)
        self.wrong(OFFICE, password="2")
        self.assertEqual(self.verified, before + 1)

    def test_an_owner_is_verified_while_others_wait(self) -> None:
        self.right(HOME)
        held: Deferred[None] = Deferred()
        for host in range(500):
            _ = self.log_in(f"192.0.2.{host % 250}", wait=held)
        self.right(HOME)
        held.callback(None)

    def test_a_first_login_comes_before_an_attack_that_waits(self) -> None:
        """1,000 wrong logins at once made a good first login wait for 14 seconds before."""
        held: Deferred[None] = Deferred()
        attack = [self.log_in(f"192.0.{host // 250}.{host % 250}", wait=held) for host in range(1000)]
        good = self.log_in(HOME, "right")
        self.assertNoResult(good)
        before = self.verified
        held.callback(None)
        self.assertTrue(self.successResultOf(good))
        self.assertEqual(before, 2)
        self.clock.pump([0.5] * 8)
        self.assertEqual(sum(answer.result is False for answer in attack), 1000)

    def test_more_logins_than_may_wait_are_refused_and_a_new_one_is_not(self) -> None:
        held: Deferred[None] = Deferred()
        attack = [self.log_in(f"10.{host // 250}.{host % 250}.1", wait=held) for host in range(1500)]
        good = self.log_in(HOME, "right")
        busy = [answer for answer in attack if answer.called]
        for answer in busy:
            self.failureResultOf(answer, LoginBusy)
        self.assertEqual(len(busy), 499)
        held.callback(None)
        self.assertTrue(self.successResultOf(good))


class DelayTests(FailedLoginsTestCase):
    """Failed logins are answered late, correct ones are not."""

    def seconds(self, password: str = "") -> float:
        """Return how late a login is answered."""
        began = self.clock.seconds()
        answer = self.log_in(ATTACKER, password)
        while not answer.called:
            self.clock.advance(0.25)
        self.successResultOf(answer)
        return self.clock.seconds() - began

    def test_delays_grow_up_to_four_seconds(self) -> None:
        self.assertEqual([self.seconds() for _ in range(8)], [0, 0, 0, 0.5, 1, 2, 4, 4])

    def test_a_correct_login_is_not_delayed(self) -> None:
        self.wrong(ATTACKER, LIMIT - 2)
        self.assertEqual(self.seconds("right"), 0)

    def test_a_delay_takes_no_turn_from_others(self) -> None:
        """Two logins are verified at a time; many more may be delayed."""
        attack = [self.log_in(f"192.0.2.{host}") for host in range(9) for _ in range(8)]
        self.assertEqual(sum(answer.called for answer in attack), 27)
        self.right(HOME)
        self.clock.pump([0.5] * 8)
