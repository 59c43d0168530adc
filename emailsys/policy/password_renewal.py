"""Renewal of stored password hashes that are outdated or missing, after a login with the correct password."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred

from emailsys.interfaces import Account, Login, LoginBusy, StoreError
from emailsys.interfaces.operators import IAccounts
from emailsys.passwords import are_outdated
from emailsys.telemetry import Telemetry


class Hashing(Protocol):
    """Hashing of passwords. `emailsys.policy.hashing_threads` does it off the reactor's thread."""

    def make(self, password: str) -> Deferred[Sequence[tuple[str, str]]]:
        """Return a Deferred of the secrets to store. It fails with LoginBusy if the queue is full."""


class Renewal:
    """Renews outdated hashes at logins, because only then the password is known.

    The renewal runs beside the login: the login neither waits for it nor fails with it. A hash that cannot be renewed
    now is renewed at the next login.
    """

    def __init__(
        self,
        accounts: IAccounts,
        hashing: Hashing,
        telemetry: Telemetry,
        is_outdated: Callable[[Sequence[tuple[str, str]]], bool] = are_outdated,
    ) -> None:
        self._accounts, self._hashing, self._telemetry = accounts, hashing, telemetry
        self._is_outdated = is_outdated
        # Accounts whose secret is being renewed, so that many concurrent logins cost one hash.
        self._under_way: set[int] = set()

    def begin(self, login: Login, stored: tuple[str, str], password: str) -> bool:
        """Begin to renew the secrets of a login if they are outdated or another program made them.

        @param stored: scheme and hash by which the password was verified.
        @param password: the verified password.
        @return: whether the secrets are outdated.
        """
        if not self._is_outdated(login.credentials):
            return False
        account = login.account
        if account.account_id not in self._under_way:
            self._under_way.add(account.account_id)
            renewed = Deferred.fromCoroutine(self._renew(account, stored, password))
            _ = renewed.addErrback(
                lambda failure: self._telemetry.exception("login-renewal-exception", failure, account=account.address)
            )
        return True

    async def _renew(self, account: Account, stored: tuple[str, str], password: str) -> None:
        try:
            made = await self._hashing.make(password)
            # If the password was changed since, the change stands.
            if await self._accounts.renew_credentials(account.account_id, stored, made):
                self._telemetry.event("login-renewed", account=account.address)
        except (LoginBusy, StoreError, CancelledError):
            # The daemon is busy or shutting down.
            return
        finally:
            self._under_way.discard(account.account_id)
