"""Logins by passwords of other systems: order, refusals and faults, accounts made at the first login, and limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from emailsys.config.settings import LimitSettings, LoginSettings
from emailsys.extension import CheckContext, CheckFailed
from emailsys.interfaces import ClientPassword, IDelivery, LoginUnchecked, TooManyGuesses
from emailsys.policy.checks.calls import Calls
from emailsys.policy.checks.plugins import PluginError
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.login_check import build_portal
from emailsys.policy.login_plugins import load_checkers
from emailsys.policy.outside_logins import OutsideLogins
from tests.fakes.net.smtp_house import Events
from tests.unit.policy.test_login_check import LoginTestCase


@implementer(ICredentialsChecker)
class Other:
    """Another system: one password for the names that it knows, and what it does instead of an answer."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, *names: str, instead: Callable[[], Any] | None = None) -> None:
        self.names, self.instead = names, instead
        self.asked: list[tuple[bytes, bytes, str]] = []

    def requestAvatarId(self, credentials: Any) -> Any:
        self.asked.append((credentials.username, credentials.password, credentials.ip))
        if self.instead is not None:
            return self.instead()
        if credentials.username.decode() not in self.names or credentials.password != b"outside":
            raise UnauthorizedLogin
        return credentials.username


class OutsideTestCase(LoginTestCase):
    def ask(self, *checkers: Any, creates: bool = False) -> None:
        """Ask these from now on; None is the password that is stored here."""
        self.clock, self.events = Clock(), Events()
        calls = Calls(self.clock, 10.0, self.events)
        named = [(f"other{number}", checker) for number, checker in enumerate(checkers)]
        accounts = self.store.accounts if creates else None
        self.outside = OutsideLogins(named, calls, self.clock, self.events, self.store.directory, accounts)
        failed = FailedLogins(self.clock, LimitSettings(), LoginSettings(), lambda ip: False, lambda pair: None)
        parts = (self.store.directory, self.store.maildrops, self.hashing, self.access)
        self.portal = build_portal(*parts, failed_logins=failed, outside=self.outside)

    def log_in(self, name: bytes, password: bytes, interface: Any = IDelivery) -> Deferred[Any]:
        return self.portal.login(ClientPassword(name, password, "192.0.2.7"), None, interface)

    def unchecked(self, name: bytes, password: bytes) -> None:
        self.failureResultOf(self.log_in(name, password), LoginUnchecked)

    def refused(self, name: bytes, password: bytes) -> str:
        login = self.log_in(name, password)
        self.clock.pump([0.5] * 8)
        return str(self.failureResultOf(login, UnauthorizedLogin).type.__name__)


class Order(OutsideTestCase):
    def test_the_first_that_accepts_ends_the_search(self) -> None:
        other = Other("alice@example.test", "bob@example.net")
        self.ask(None, other)
        self.assertEqual(self.account(b"alice", b"alice"), self.alice)
        self.assertEqual(other.asked, [])
        self.assertEqual(self.account(b"Alice@EXAMPLE.test", b"outside"), self.alice)
        self.assertEqual(other.asked, [(b"alice@example.test", b"outside", "192.0.2.7")])
        self.assertEqual(self.refused(b"alice", b"wrong"), "UnauthorizedLogin")

    def test_without_local_no_stored_password_opens_an_account(self) -> None:
        self.ask(Other("alice@example.test"))
        self.refused(b"alice", b"alice")
        self.assertEqual(self.hashing.asked, [])
        self.assertEqual(self.account(b"alice", b"outside"), self.alice)

    def test_an_empty_password_and_a_name_that_is_no_address_are_not_asked_about(self) -> None:
        """Neither is a NUL, before which a program in C sees an empty password."""
        other = Other(instead=lambda: b"alice@example.test")
        self.ask(other)
        for name, password in ((b"alice", b""), (b"alice", b"\0"), (b"a b", b"outside"), (b"\xff", b"outside")):
            self.refused(name, password)
        self.assertEqual(other.asked, [])

    def test_the_checker_names_the_account(self) -> None:
        """A directory may know a person by several names."""
        for found in (b"alice@example.test", "Alice@Example.Test"):
            self.ask(Other(instead=lambda found=found: found))  # type: ignore[misc]
            self.assertEqual(self.account(b"alice.liddell", b"x"), self.alice)

    def test_a_disabled_account_stays_closed(self) -> None:
        self.ask(Other("carol@example.test"), creates=True)
        self.refused(b"carol", b"outside")


class Faults(OutsideTestCase):
    def test_who_cannot_answer_refuses_nobody(self) -> None:
        def raises() -> None:
            raise RuntimeError("a fault of the plugin")

        def fails() -> None:
            raise CheckFailed("the directory is\naway")

        for instead, kind in (
            (raises, RuntimeError),
            (fails, None),
            (lambda: None, TypeError),
            (lambda: b"@", TypeError),
        ):
            self.ask(Other(instead=instead), Other("alice@example.test"), None)
            self.assertEqual(self.account(b"alice", b"outside"), self.alice)
            self.assertEqual(self.account(b"alice", b"alice"), self.alice)
            self.unchecked(b"alice", b"wrong")
            told = {(event["check"], event["why"]) for event in self.events.of("login-check-failed")}
            self.assertEqual(told, set() if kind else {("other0", "the directory is away")})
            self.assertEqual({type(error) for error in self.events.exceptions}, {kind} if kind else set())

    def test_one_that_is_late_is_cancelled_and_left_alone_for_a_while(self) -> None:
        cancelled: list[Any] = []
        slow = Other(instead=lambda: Deferred(cancelled.append))
        self.ask(slow, None)
        login = self.log_in(b"alice", b"alice")
        self.assertNoResult(login)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(login)[1].account, self.alice)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.events.of("login-check-late"), [{"check": "other0", "seconds": 10.0}])
        self.assertEqual(self.account(b"alice", b"alice"), self.alice)
        self.unchecked(b"alice", b"wrong")
        self.assertEqual(len(slow.asked), 1)
        self.clock.advance(10)
        _ = self.log_in(b"alice", b"alice")
        self.assertEqual(len(slow.asked), 2)

    def test_a_question_ends_with_the_client_that_caused_it(self) -> None:
        """A web browser may leave, and then no deadline ends the question."""
        cancelled: list[Any] = []
        self.ask(Other(instead=lambda: Deferred(cancelled.append)))
        login = self.log_in(b"alice", b"outside")
        login.cancel()
        self.failureResultOf(login, CancelledError)
        self.assertEqual((len(cancelled), self.clock.getDelayedCalls()), (1, []))

    def test_no_answer_is_not_counted_as_a_guess(self) -> None:
        self.ask(Other(instead=lambda: None))
        for _ in range(20):
            self.unchecked(b"alice", b"outside")


class Accounts(OutsideTestCase):
    def test_an_account_is_made_at_the_first_login(self) -> None:
        other = Other("dora@example.test", "eve@elsewhere.example", "dora@example.net")
        self.ask(other, creates=True)
        made = self.account(b"Dora@example.test", b"outside")
        assert made is not None
        self.assertEqual(str(made.address), "dora@example.test")
        self.assertEqual(self.account(b"dora@example.test", b"outside"), made)
        self.assertEqual([told["check"] for told in self.events.of("account-made")], ["other0"])
        self.refused(b"eve@elsewhere.example", b"outside")
        self.assertEqual(len(self.events.of("login-without-account")), 1)

    def test_no_account_is_made_that_nobody_asked_for(self) -> None:
        self.ask(Other("dora@example.test"))
        self.refused(b"dora", b"outside")
        self.assertEqual(len(self.events.of("login-without-account")), 1)
        self.ask(Other("dora@example.test"), creates=True)
        self.refused(b"dora", b"wrong")
        self.assertEqual(self.events.of("account-made"), [])


class Limits(OutsideTestCase):
    def test_guesses_are_counted_and_a_changed_password_works_within_a_minute(self) -> None:
        other = Other()
        self.ask(other)
        self.refused(b"alice", b"outside")
        self.refused(b"alice", b"outside")
        # The same wrong password is not asked about again, until it may have become right.
        self.assertEqual(len(other.asked), 1)
        other.names = ("alice@example.test",)
        self.clock.advance(60)
        self.assertEqual(self.account(b"alice", b"outside"), self.alice)

    def test_a_stored_password_has_its_limit_while_another_system_gives_no_answer(self) -> None:
        other = Other("dora@example.test")
        self.ask(other, None, creates=True)
        self.account(b"dora", b"outside")
        other.instead = lambda: None
        for number in range(LimitSettings().max_failed_logins):
            self.unchecked(b"dora", b"outside")
            self.unchecked(b"alice", b"guess %d" % number)
        self.failureResultOf(self.log_in(b"alice", b"alice"), TooManyGuesses)


@implementer(ICredentialsChecker)
class Hashed:
    """A checker of something else."""

    credentialInterfaces = (IUsernameHashedPassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        raise UnauthorizedLogin


class Loading(LoginTestCase):
    def load(self, specification: str, make: Callable[[CheckContext], Any] = lambda context: Other()) -> Any:
        ((name, checker),) = load_checkers([specification], "mx.test", None, {"own": make})
        return name, checker

    def test_each_kind_of_name(self) -> None:
        self.assertEqual(self.load("local"), ("local", None))
        context: list[CheckContext] = []
        name, checker = self.load("own://x/y", lambda found: context.append(found) or Other())  # type: ignore[func-returns-value]
        self.assertEqual((name, context[0].argument), ("own", "//x/y"))
        self.assertIsInstance(checker, Other)
        # What `twistd --auth` takes.
        passwords = self.mktemp()
        Path(passwords).write_text("alice@example.test:outside\n")
        name, checker = self.load(f"file:{passwords}")
        self.assertEqual(name, "file")
        credentials = ClientPassword(b"alice@example.test", b"outside")
        self.assertEqual(self.successResultOf(checker.requestAvatarId(credentials)), b"alice@example.test")

    def test_what_checks_no_passwords_stops_the_start(self) -> None:
        for name, make, why in (
            ("own:", lambda context: object(), "TypeError: it made a object, which is no ICredentialsChecker"),
            ("own:", lambda context: Hashed(), "TypeError: Hashed checks no passwords: .*"),
            ("plugin:nobody", None, "LookupError: no package has an entry point 'nobody' in the group 'emailsys'.*"),
            ("strange:x", None, "LookupError: there is no such kind; use local, own:..., plugin:NAME, or .*"),
            ("pam", None, "LookupError: PAM is asked through Dovecot: use dovecot:unix:PATH, .*"),
            ("pam:imap", None, "LookupError: PAM is asked through Dovecot: .*"),
        ):
            with self.assertRaises(PluginError) as caught:
                self.load(name, make)  # type: ignore[arg-type]
            self.assertRegex(str(caught.exception), f"the checker of passwords '{name}' cannot be loaded: {why}")
