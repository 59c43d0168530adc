"""The limits for failed logins and their record in the store belong together."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import LimitSettings, Settings
from emailsys.daemon.login_limits import LoginLimits
from emailsys.interfaces import PasswordId, TooManyGuesses
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_known_networks import MemoryKnownNetworks

ALICE, BOB = (1, 0), (2, 0)
ALICE_WITH_NEW_PASSWORD = (1, 1)
HOME = "198.51.100.7"


class LoginLimitsTests(SynchronousTestCase):
    """L{LoginLimits} with a network from which an attacker guesses, and two accounts know it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryKnownNetworks()
        self.store.days = {(ALICE, HOME): 1, (BOB, HOME): 1}
        settings = Settings("mx.example.test", Path("/"), limits=LimitSettings(max_failed_logins=2))
        self.limits = LoginLimits(self.clock, settings, self.store, Telemetry())
        self.limits.start()

    def log_in(self, account: PasswordId | None, is_right: bool) -> Deferred[bool]:
        async def verify() -> bool:
            return is_right

        digest = f"{account} {is_right} {self.clock.seconds()}".encode()
        login = Deferred.fromCoroutine(self.limits.failed_logins.verify(account, HOME, digest, verify))
        self.clock.advance(5)
        return login

    def test_a_new_password_ends_what_the_old_one_had_earned(self) -> None:
        """The networks of a thief are unknown at once, and no write that waits makes them known again."""
        for _ in range(2):
            self.assertFalse(self.successResultOf(self.log_in(None, False)))
        for account in (ALICE, BOB):
            self.assertTrue(self.successResultOf(self.log_in(account, True)))
        self.store.drop(*ALICE_WITH_NEW_PASSWORD)
        self.failureResultOf(self.log_in(ALICE_WITH_NEW_PASSWORD, True), TooManyGuesses)
        self.assertTrue(self.successResultOf(self.log_in(BOB, True)))
        self.successResultOf(Deferred.fromCoroutine(self.limits.stop()))
        self.assertEqual({account for account, _network in self.store.days}, {BOB})
        self.assertEqual(self.clock.getDelayedCalls(), [])
