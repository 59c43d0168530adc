"""Check of access tokens, and its limits."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import LimitSettings, LoginSettings
from emailsys.interfaces import TooManyGuesses
from emailsys.interfaces.operators import Scope, TokenRequest
from emailsys.mail.address import Address
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.token_check import TokenCheck
from emailsys.tokens import NewToken, make_token
from tests.fakes.store.memory_store import MemoryStore

BOB = Address("bob", "example.test")
IP = "192.0.2.1"


class TokenCheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()
        self.store.seed_account("bob@example.test", {})
        limits = FailedLogins(
            self.store.clock, LimitSettings(max_failed_logins=3), LoginSettings(), lambda ip: False, lambda pair: None
        )
        self.check = TokenCheck(self.store.tokens, self.store.now, limits)

    def add(self, lifetime: float = 0.0) -> NewToken:
        made = make_token()
        end = self.store.now() + timedelta(seconds=lifetime) if lifetime else None
        request = TokenRequest(made.token_id, made.digest, BOB, frozenset({Scope.MAIL_READ}), "", end)
        self.done(self.store.tokens.add(request))
        return made

    def done(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The result, however long the clock must run for it."""
        waiting = Deferred.fromCoroutine(coroutine)
        self.store.clock.pump([1.0] * 40)
        return waiting

    def valid(self, text: str, ip: str = IP) -> bool:
        waiting = self.done(self.check.check(text, ip))
        found: list[Any] = []
        waiting.addBoth(found.append)
        if hasattr(found[0], "check"):
            self.assertTrue(found[0].check(UnauthorizedLogin), found[0])
            return False
        self.assertEqual(found[0].address, BOB)
        return True

    def test_a_token_is_valid_and_no_other_text_is(self) -> None:
        made, other = self.add(), make_token()
        self.assertTrue(self.valid(made.text))
        wrong = f"emailsys_{made.token_id}_{other.text.rpartition('_')[2]}"
        for text in (other.text, wrong):
            self.assertFalse(self.valid(text, "192.0.2.9"))
        for text in ("", "\udcff"):
            self.assertFalse(self.valid(text, "192.0.2.10"))

    def test_a_removed_or_expired_token_is_refused_at_once(self) -> None:
        made, brief = self.add(), self.add(1000.0)
        self.assertTrue(self.valid(made.text))
        self.done(self.store.tokens.remove(made.token_id))
        self.assertFalse(self.valid(made.text))
        self.assertTrue(self.valid(brief.text))
        self.store.clock.advance(1000)
        self.assertFalse(self.valid(brief.text))

    def test_the_token_of_a_disabled_account_is_refused_until_it_is_enabled(self) -> None:
        made = self.add()
        self.done(self.store.accounts.set_enabled(BOB, False))
        self.assertFalse(self.valid(made.text))
        self.done(self.store.accounts.set_enabled(BOB, True))
        self.assertTrue(self.valid(made.text))

    def test_wrong_tokens_are_counted_as_wrong_passwords_are(self) -> None:
        """At the limit, even a right token is refused unless it was valid in that network before."""
        known, new = self.add(), self.add()
        self.assertTrue(self.valid(known.text))
        for _ in range(3):
            self.assertFalse(self.valid(make_token().text))
        self.failureResultOf(self.done(self.check.check(make_token().text, IP)), TooManyGuesses)
        self.failureResultOf(self.done(self.check.check(new.text, IP)), TooManyGuesses)
        self.assertTrue(self.valid(known.text))
        self.assertTrue(self.valid(new.text, "192.0.2.2"))

    def test_a_token_that_was_valid_somewhere_counts_there_again_when_it_was_removed(self) -> None:
        made = self.add()
        self.assertTrue(self.valid(made.text))
        self.done(self.store.tokens.remove(made.token_id))
        for _ in range(8):
            self.done(self.check.check(made.text, IP)).addErrback(lambda failure: None)
        self.failureResultOf(self.done(self.check.check(made.text, IP)), TooManyGuesses)

    def test_without_limits_a_wrong_token_is_still_refused(self) -> None:
        self.check = TokenCheck(self.store.tokens, self.store.now, None)
        made = self.add()
        self.assertTrue(self.valid(made.text))
        self.assertFalse(self.valid(replace(make_token()).text))
