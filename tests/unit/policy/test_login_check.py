"""Login: credentials, refusals, cost of verification, and maildrop locks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.mail import pop3, smtp
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from emailsys.config.settings import LimitSettings, LoginSettings
from emailsys.interfaces import (
    Account,
    IDelivery,
    IMaildrop,
    IMaildrops,
    LoginBusy,
    MaildropInUse,
    NoDomains,
    TooManyGuesses,
)
from emailsys.mail.address import parse
from emailsys.policy.access import Access
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.login_check import MailRealm, PasswordChecker, VerifiedLogins, build_portal
from emailsys.policy.routing import Router
from tests.fakes.hashing import CountedHashing
from tests.fakes.store.memory_store import MemoryStore


def fits(stored: str, password: str) -> bool:
    """A scheme for tests: the stored secret is the password, turned round."""
    return stored == password[::-1]


class LoginTestCase(SynchronousTestCase):
    """A system with alice, bob, and carol, whose account is disabled."""

    def setUp(self) -> None:
        self.store = MemoryStore(Clock())
        self.alice = self.store.seed_account("alice@example.test", {"argon2id": "ecila"})
        self.store.seed_account("bob@example.net", {"argon2id": "bob-terces"})
        self.store.seed_account("carol@example.test", {"argon2id": "lorac"})
        self.store.seed_account("nokey@example.test", {"scram-sha-256": "x"})
        self.change(self.store.accounts.set_enabled(parse("carol@example.test"), False))
        self.hashing = CountedHashing(fits)
        self.access = Access(Router(self.store.directory), "mail.example.test")
        self.portal = build_portal(self.store.directory, self.store.maildrops, self.hashing, self.access)

    def change(self, coroutine: Any) -> None:
        self.successResultOf(Deferred.fromCoroutine(coroutine))

    def log_in(self, name: bytes, password: bytes, interface: Any = IDelivery) -> Deferred[Any]:
        return self.portal.login(UsernamePassword(name, password), None, interface)

    def account(self, name: bytes, password: bytes) -> Account | None:
        _, avatar, _ = self.successResultOf(self.log_in(name, password))
        account: Account | None = avatar.account
        return account

    def refused(self, name: bytes, password: bytes) -> str:
        failure = self.failureResultOf(self.log_in(name, password), UnauthorizedLogin)
        return f"{failure.type.__name__}: {failure.getErrorMessage()}"


class CheckTests(LoginTestCase):
    """Verification of names and passwords."""

    def test_the_checker_and_the_realm_are_those_of_cred(self) -> None:
        """Both provide twisted.cred's interfaces."""
        checker = PasswordChecker(self.store.directory, self.hashing, VerifiedLogins())
        self.assertTrue(verifyObject(ICredentialsChecker, checker))
        realm = MailRealm(self.access, self.store.maildrops)
        self.assertTrue(verifyObject(IRealm, realm))

    def test_a_user_logs_in_by_full_address(self) -> None:
        """The letter case does not matter."""
        for name in (b"alice@example.test", b"Alice@EXAMPLE.test"):
            self.assertEqual(self.account(name, b"alice"), self.alice)

    def test_a_bare_local_part_is_one_of_the_default_domain(self) -> None:
        """The default domain is the first that was added."""
        self.assertEqual(self.account(b"alice", b"alice"), self.alice)
        self.refused(b"bob", b"secret-bob")

    def test_passwords_beyond_ascii_are_utf_8(self) -> None:
        """RFC 4616 §2."""
        self.store.seed_account("dora@example.test", {"argon2id": "d\u00e9"})
        self.assertIsNotNone(self.account(b"dora", "\u00e9d".encode()))
        self.refused(b"dora", "\u00e9d".encode("latin-1"))

    def test_all_refusals_are_the_same_and_cost_one_verification_each(self) -> None:
        """Neither texts nor timing reveal which addresses exist."""
        told = set()
        for name, password in (
            (b"alice@example.test", b"wrong"),
            (b"nobody@example.test", b"wrong"),
            (b"carol@example.test", b"carol"),
            (b"carol@example.test", b"wrong"),
            (b"nokey@example.test", b"x"),
            (b"alice@example.org", b"alice"),
            (b"alice+tag@example.test", b"alice"),
            (b"postmaster@example.test", b"alice"),
            (b"alice", b""),
            (b"", b""),
            (b"@", b"x"),
            (b"a@b@c", b"x"),
            (b"a b", b"x"),
            (b"\xff\xfe", b"\xff"),
            (b"x" * 5000, b"x"),
            (b"alice@example.test\0", b"alice"),
        ):
            with self.subTest(name[:40]):
                before = len(self.hashing.asked)
                told.add(self.refused(name, password))
                self.assertEqual(len(self.hashing.asked) - before, 1)
        self.assertEqual(told, {"UnauthorizedLogin: login failed"})

    def test_an_account_that_is_not_there_is_verified_against_the_dummy(self) -> None:
        """So is a disabled account: its correct password is refused."""
        self.refused(b"nobody@example.test", b"x")
        self.refused(b"carol@example.test", b"carol")
        self.assertEqual(self.hashing.asked, [None, None])

    def test_a_system_without_domains_answers_temporarily(self) -> None:
        """Before the first `domain add`, or with the wrong store, the password may be correct."""
        self.portal = build_portal(MemoryStore(Clock()).directory, self.store.maildrops, self.hashing, self.access)
        for name in (b"alice", b"alice@example.test"):
            self.failureResultOf(self.log_in(name, b"alice"), NoDomains)

    def test_too_many_waiting_logins_are_told_apart_from_wrong_ones(self) -> None:
        """454 and not 535: at 535, a mail program would ask its user for the password again."""
        self.hashing.is_full = True
        self.failureResultOf(self.log_in(b"alice", b"alice"), LoginBusy)

    def test_a_cancelled_login_leaves_the_queue(self) -> None:
        """The client has disconnected, so no core works for it."""
        self.hashing.hold = True
        login = self.log_in(b"alice", b"alice")
        login.cancel()
        self.failureResultOf(login, CancelledError)
        self.assertEqual(self.hashing.cancelled, 1)


class RepeatedLoginTests(LoginTestCase):
    """A wrong password that is repeated is neither verified nor counted again. Ten failed logins are the limit."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        limits = LimitSettings(max_failed_logins=10)
        failed = FailedLogins(self.clock, limits, LoginSettings(), lambda ip: False, lambda pair: None)
        self.portal = build_portal(
            self.store.directory, self.store.maildrops, self.hashing, self.access, failed_logins=failed
        )

    def refused(self, name: bytes, password: bytes) -> str:
        login = self.log_in(name, password)
        self.clock.pump([0.5] * 8)
        return f"{self.failureResultOf(login, UnauthorizedLogin).type.__name__}"

    def test_a_refused_password_works_after_it_was_set(self) -> None:
        for _ in range(2):
            self.refused(b"alice", b"new")
        self.assertEqual(len(self.hashing.asked), 1)
        self.change(self.store.accounts.set_credentials(self.alice.address, [("argon2id", "wen")]))
        self.assertEqual(self.account(b"alice", b"new"), self.alice)

    def test_a_password_works_once_its_account_is_enabled_or_created(self) -> None:
        for name in (b"carol", b"dora"):
            self.refused(name, name)
        self.change(self.store.accounts.set_enabled(parse("carol@example.test"), True))
        self.store.seed_account("dora@example.test", {"argon2id": "arod"})
        for name in (b"carol", b"dora"):
            self.assertIsNotNone(self.account(name, name))

    def test_each_missing_name_is_another_guess(self) -> None:
        for number in range(10):
            self.refused(b"nobody%d" % number, b"x")
        self.failureResultOf(self.log_in(b"nobody10", b"x"), TooManyGuesses)


class VerifiedLoginsTests(LoginTestCase):
    """A client that polls every minute causes no hashing."""

    def test_a_second_login_with_the_same_password_is_not_hashed(self) -> None:
        """This applies to each of the account's login names."""
        for name in (b"alice@example.test", b"alice", b"ALICE@example.test"):
            self.account(name, b"alice")
        self.assertEqual(len(self.hashing.asked), 1)

    def test_a_wrong_password_is_hashed_each_time(self) -> None:
        """Only correct passwords are cached, and only in the exact form."""
        self.account(b"alice", b"alice")
        for _ in range(2):
            self.refused(b"alice", b"alicf")
        self.assertEqual(len(self.hashing.asked), 3)

    def test_a_changed_password_is_forgotten_at_once(self) -> None:
        """The old password is refused, and the new one is accepted."""
        self.account(b"alice", b"alice")
        self.change(self.store.accounts.set_credentials(self.alice.address, [("argon2id", "wen")]))
        self.refused(b"alice", b"alice")
        self.assertEqual(self.account(b"alice", b"new"), self.alice)

    def test_a_disabled_account_is_shut_out_at_once(self) -> None:
        """A cached password is refused while the account is disabled, and accepted once it is enabled again."""
        self.account(b"alice", b"alice")
        self.change(self.store.accounts.set_enabled(self.alice.address, False))
        self.refused(b"alice", b"alice")
        self.change(self.store.accounts.set_enabled(self.alice.address, True))
        self.account(b"alice", b"alice")

    def test_the_same_password_of_another_account_is_verified_again(self) -> None:
        """Cached digests are not shared between accounts."""
        verified = VerifiedLogins()
        verified.remember(verified.digest(self.alice, "stored", b"secret"))
        other = Account(self.alice.account_id + 1, self.alice.address)
        self.assertNotIn(verified.digest(other, "stored", b"secret"), verified)
        self.assertIn(verified.digest(self.alice, "stored", b"secret"), verified)

    def test_no_password_is_kept(self) -> None:
        """The cache has digests under a key of this process. Another process has other digests."""
        first, second = VerifiedLogins(), VerifiedLogins()
        digest = first.digest(self.alice, "stored", b"secret")
        self.assertEqual(len(digest), 32)
        self.assertNotEqual(digest, second.digest(self.alice, "stored", b"secret"))

    def test_the_memory_is_bounded_and_the_longest_unused_go_first(self) -> None:
        """Logins of a hundred thousand users do not exhaust the memory."""
        verified = VerifiedLogins(most=2)
        digests = [verified.digest(self.alice, "stored", password) for password in (b"1", b"2", b"3")]
        verified.remember(digests[0])
        verified.remember(digests[1])
        self.assertIn(digests[0], verified)
        verified.remember(digests[2])
        self.assertEqual([digest in verified for digest in digests], [True, False, True])
        self.assertEqual(len(verified), 2)


@implementer(IMaildrops)
class SlowMaildrops:
    """Maildrops that open when the test says so."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.gate: Deferred[None] = Deferred()

    async def open(self, account_id: int) -> IMaildrop:
        await self.gate
        return IMaildrop(await self._store.maildrops.open(account_id))


class INothingOfOurs(Interface):
    """An interface of an unknown service."""


class RealmTests(LoginTestCase):
    """Avatars for a login."""

    def interfaces_of(self, avatar: object, interfaces: Iterable[Any]) -> list[bool]:
        return [interface.providedBy(avatar) for interface in interfaces]

    def test_smtp_gets_a_delivery(self) -> None:
        """Both interfaces work. The avatar of an anonymous client has no account."""
        for interface in (IDelivery, smtp.IMessageDelivery):
            found, avatar, logout = self.successResultOf(self.log_in(b"alice", b"alice", interface))
            self.assertIs(found, interface)
            self.assertTrue(verifyObject(IDelivery, avatar))
            self.assertIsNone(logout())
            stranger: Any = self.successResultOf(self.portal.login(Anonymous(), None, interface))[1]
            self.assertIsNone(stranger.account)

    def test_pop3_gets_the_locked_maildrop_of_its_account(self) -> None:
        """A second login fails with MaildropInUse. The logout releases the lock."""
        _, maildrop, logout = self.successResultOf(self.log_in(b"alice", b"alice", pop3.IMailbox))
        self.assertTrue(IMaildrop.providedBy(maildrop))
        self.failureResultOf(self.log_in(b"alice", b"alice", pop3.IMailbox), MaildropInUse)
        logout()
        _, _, logout = self.successResultOf(self.log_in(b"alice", b"alice", IMaildrop))
        logout()

    def test_a_wrong_password_locks_nothing(self) -> None:
        """The owner can log in afterwards."""
        self.failureResultOf(self.log_in(b"alice", b"wrong", pop3.IMailbox), UnauthorizedLogin)
        self.successResultOf(self.log_in(b"alice", b"alice", pop3.IMailbox))

    def test_a_stranger_gets_no_maildrop(self) -> None:
        """No client gets an avatar for an unknown interface."""
        self.failureResultOf(self.portal.login(Anonymous(), None, pop3.IMailbox), UnauthorizedLogin)
        self.failureResultOf(self.log_in(b"alice", b"alice", INothingOfOurs), UnauthorizedLogin)

    def slow(self) -> SlowMaildrops:
        maildrops = SlowMaildrops(self.store)
        self.assertTrue(verifyObject(IMaildrops, maildrops))
        self.portal = build_portal(self.store.directory, maildrops, self.hashing, self.access)
        return maildrops

    def test_a_login_cancelled_while_the_maildrop_opens_gives_the_lock_back(self) -> None:
        """The client has disconnected. The next login must not wait for a takeover."""
        maildrops = self.slow()
        login = self.log_in(b"alice", b"alice", pop3.IMailbox)
        login.cancel()
        self.failureResultOf(login, CancelledError)
        maildrops.gate.callback(None)
        drop = self.successResultOf(Deferred.fromCoroutine(self.store.maildrops.open(self.alice.account_id)))
        drop.release()

    def test_a_refusal_after_a_cancelled_login_is_not_logged(self) -> None:
        """A maildrop in use causes no log event then."""
        maildrops = self.slow()
        login = self.log_in(b"alice", b"alice", pop3.IMailbox)
        login.cancel()
        self.failureResultOf(login, CancelledError)
        maildrops.gate.errback(MaildropInUse())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_defect_after_a_cancelled_login_is_logged(self) -> None:
        """An unexpected exception is one log event, even after the login was cancelled."""
        maildrops = self.slow()
        login = self.log_in(b"alice", b"alice", pop3.IMailbox)
        login.cancel()
        self.failureResultOf(login, CancelledError)
        maildrops.gate.errback(ZeroDivisionError())
        del maildrops, login
        import gc

        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_opening_that_fails_is_the_logins_failure(self) -> None:
        """It becomes 451 or -ERR [SYS/TEMP]."""
        maildrops = self.slow()
        login = self.log_in(b"alice", b"alice", pop3.IMailbox)
        maildrops.gate.errback(ZeroDivisionError())
        self.failureResultOf(login, ZeroDivisionError)
