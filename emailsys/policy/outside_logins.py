"""Logins whose passwords other systems know: the checkers of `login.auth`, asked in their order."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from twisted.cred.error import LoginFailed
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from emailsys.extension import CheckFailed
from emailsys.interfaces import Account, ClientPassword, IDirectory, LoginUnchecked
from emailsys.interfaces.operators import AdminError, IAccounts
from emailsys.mail.address import Address
from emailsys.policy.checks.calls import Calls, TooLate
from emailsys.policy.login_check import login_address
from emailsys.telemetry import Telemetry

# Seconds for which a wrong password counts as the same one. It may be right after them: another system changes it
# without a word.
_SAME_SECONDS: Final = 60.0
# Seconds for which a checker that was late is not asked: each question would keep other logins waiting.
_PAUSE_SECONDS: Final = 10.0

Local = Callable[[], Awaitable[Account | None]]


class OutsideLogins:
    """Asks checkers of twisted.cred, one after the other, until one of them knows the password.

    A checker that cannot answer does not refuse a login: if no later one accepts it, the client gets a temporary reply,
    and asks its user for no other password.

    @param checkers: in their order, with their names; None for the password that is stored here.
    @param accounts: makes accounts at their first login; None if they must exist.
    """

    def __init__(
        self,
        checkers: Sequence[tuple[str, Any]],
        calls: Calls,
        clock: IReactorTime,
        telemetry: Telemetry,
        directory: IDirectory,
        accounts: IAccounts | None,
    ) -> None:
        self._checkers = checkers
        self._calls = calls
        self._clock = clock
        self._telemetry = telemetry
        self._directory = directory
        self._accounts = accounts
        # When a checker that was late may be asked again, by its place in the order.
        self._paused: dict[int, float] = {}

    def dated(self, digest: bytes) -> bytes:
        """Return a digest of the digest and of the minute."""
        return hmac.digest(digest, b"%d" % (self._clock.seconds() // _SAME_SECONDS), "sha256")

    async def account_of(self, name: bytes, password: bytes, ip: str, local: Local) -> Account | None:
        """Return the account that a name and a password open, or None.

        @raise LoginUnchecked: no checker accepts them, and one cannot answer now.
        @raise StoreError: the store cannot answer.
        """
        address = await login_address(self._directory, name)
        is_unchecked = False
        for place, (checker_name, checker) in enumerate(self._checkers):
            if checker is None:
                account = await local()
                if account is not None:
                    return account
            # RFC 4513 §5.1.2: a directory takes a login without a password for an anonymous one, and accepts it. For a
            # program in C, a NUL ends the password, and RFC 4616 §2 allows none.
            elif address is not None and password and b"\0" not in password:
                try:
                    accepted = await self._ask(place, checker_name, checker, _written(address), password, ip)
                except LoginUnchecked:
                    is_unchecked = True
                    continue
                if accepted is not None:
                    return await self._account(accepted, checker_name)
        if is_unchecked:
            raise LoginUnchecked
        return None

    async def _ask(self, place: int, name: str, checker: Any, address: str, password: bytes, ip: str) -> Address | None:
        """Return the address that a checker accepts a password for, or None if it refuses it.

        @raise LoginUnchecked: it cannot answer.
        """
        if self._clock.seconds() < self._paused.get(place, 0.0):
            raise LoginUnchecked
        credentials = ClientPassword(address.encode(), password, ip)
        try:
            found = await self._calls.call(name, checker.requestAvatarId, credentials)
            octets = found.encode() if isinstance(found, str) else found
            accepted = await login_address(self._directory, octets) if isinstance(octets, bytes) else None
            if accepted is None:
                raise TypeError(f"the checker returned {type(found).__name__}, which is no address")
            return accepted
        except LoginFailed:
            return None
        except CancelledError:
            # The client has gone.
            raise
        except TooLate:
            self._paused[place] = self._clock.seconds() + _PAUSE_SECONDS
            self._telemetry.event("login-check-late", check=name, seconds=self._calls.deadline)
        except CheckFailed as failed:
            self._telemetry.event("login-check-failed", check=name, why=" ".join(str(failed).split()))
        except Exception:
            self._telemetry.exception("login-check-exception", Failure(), check=name)  # type: ignore[no-untyped-call]
        raise LoginUnchecked

    async def _account(self, address: Address, by: str) -> Account | None:
        """Return the account of an accepted address, or None if it has none, or is disabled."""
        login = await self._directory.find_login(address.key)
        if login is not None:
            return login.account if login.account.enabled else None
        if self._accounts is None or not await self._directory.is_local_domain(address.key[1]):
            self._telemetry.event("login-without-account", account=address, check=by)
            return None
        try:
            await self._accounts.add_user(address, ())
        except AdminError as error:
            # Another process may have made it just now.
            self._telemetry.event("account-not-made", account=address, check=by, why=str(error))
            raise LoginUnchecked from None
        self._telemetry.event("account-made", account=address, check=by)
        login = await self._directory.find_login(address.key)
        return None if login is None else login.account


def _written(address: Address) -> str:
    """Return an address as checkers get it: lower case, the domain in A-labels."""
    return "@".join(address.key)
