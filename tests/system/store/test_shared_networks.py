"""Two nodes on one PostgreSQL store know the networks from which accounts log in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from emailsys.config.settings import LimitSettings, Settings
from emailsys.daemon.login_limits import LoginLimits
from emailsys.interfaces import PasswordId, TooManyGuesses
from emailsys.telemetry import Telemetry
from tests.contract.engines import PostgreSQLCase
from tests.contract.mail import MailCase


class _ScheduleClock(Clock):
    """Tells in `scheduled` of each call that was scheduled."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduled: DeferredQueue[None] = DeferredQueue()

    def callLater(self, *arguments: Any, **named: Any) -> IDelayedCall:
        call = super().callLater(*arguments, **named)
        self.scheduled.put(None)
        return call


class SharedNetworksTests(PostgreSQLCase, MailCase):
    """One server, two nodes."""

    async def test_a_network_of_a_login_on_one_node_is_soon_known_on_the_other(self) -> None:
        """Guesses from the network do not lock out the owner there."""
        alice, _bob = await self.users()
        home, owner = "198.51.100.7", (alice.account_id, 0)
        settings = Settings("mx.example.test", Path("/"), limits=LimitSettings(max_failed_logins=2))
        clock = _ScheduleClock()
        here = LoginLimits(clock, settings, self.store.known_networks, Telemetry())
        there = LoginLimits(
            clock, settings, self.open_again(self.url.render_as_string(hide_password=False)).known_networks, Telemetry()
        )

        def log_in(limits: LoginLimits, account: PasswordId | None) -> Deferred[bool]:
            async def verify() -> bool:
                return account is not None

            digest = f"{account} {clock.seconds()}".encode()
            login = Deferred.fromCoroutine(limits.failed_logins.verify(account, home, digest, verify))
            clock.advance(5)
            return login

        there.start()
        await clock.scheduled.get()
        self.assertTrue(await log_in(here, owner))
        await here.stop()
        clock.scheduled = DeferredQueue()
        clock.advance(60)
        await clock.scheduled.get()
        for _ in range(2):
            self.assertFalse(await log_in(there, None))
        with self.assertRaises(TooManyGuesses):
            await log_in(there, None)
        self.assertTrue(await log_in(there, owner))
        await there.stop()
