"""Renew a stored password that was hashed at other costs than today's, after a login that proved it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred

from emailsys.interfaces import Account, LoginBusy, StoreError
from emailsys.operations import IAccounts
from emailsys.passwords import ARGON2ID, needs_rehash
from emailsys.telemetry import Telemetry


class Hashing(Protocol):
    """Who does the work; `emailsys.policy.hashing_threads` off the reactor's thread."""

    def hash(self, password: str) -> Deferred[str]:
        """A hash as it is to be stored now; the Deferred fails with LoginBusy where too many wait."""


class Renewal:
    """The only moment at which a hash can be made anew is a login: nobody else knows the password.

    It goes on beside the login, which neither waits for it nor fails with it. What cannot be renewed now is at the next
    login.
    """

    def __init__(
        self,
        accounts: IAccounts,
        hashing: Hashing,
        telemetry: Telemetry,
        is_outdated: Callable[[str], bool] = needs_rehash,
    ) -> None:
        self._accounts, self._hashing, self._telemetry = accounts, hashing, telemetry
        self._is_outdated = is_outdated
        # Accounts whose secret is being renewed: a hundred connections of one client cost one hash.
        self._under_way: set[int] = set()

    def begin(self, account: Account, stored: str, password: str) -> bool:
        """Have the hash made anew if that is due, and the password fits it.

        @return: whether it was due.
        """
        if not self._is_outdated(stored):
            return False
        if account.account_id not in self._under_way:
            self._under_way.add(account.account_id)
            renewed = Deferred.fromCoroutine(self._renew(account, stored, password))
            _ = renewed.addErrback(
                lambda failure: self._telemetry.exception("login.renewal", failure, account=account.address)
            )
        return True

    async def _renew(self, account: Account, stored: str, password: str) -> None:
        try:
            made = await self._hashing.hash(password)
            # Whoever changed the password meanwhile meant what they said.
            if await self._accounts.renew_secret(account.account_id, ARGON2ID, stored, made):
                self._telemetry.event("login.renewed", account=account.address)
        except (LoginBusy, StoreError, CancelledError):
            # The daemon is busy, or going down.
            return
        finally:
            self._under_way.discard(account.account_id)
