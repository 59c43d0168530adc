"""Change of a password by its owner, in a submission session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredLock

from emailsys.interfaces import Account, LoginBusy
from emailsys.interfaces.operators import AdminError, IAccounts
from emailsys.mail import reply
from emailsys.mail.reply import Reply
from emailsys.passwords import PasswordError
from emailsys.telemetry import Telemetry


class Hashing(Protocol):
    """Hashing of new passwords. `emailsys.policy.hashing_threads` does it off the reactor's thread."""

    def make_new(self, password: str, names: Sequence[str], min_length: int) -> Deferred[Sequence[tuple[str, str]]]:
        """Return a Deferred of the secrets to store. It fails with PasswordError or LoginBusy."""


class PasswordChanges:
    """Replaces the passwords of accounts. A new one must follow the rule for new passwords.

    The check of a new password takes up to 0.5 s. Only one is checked at a time, so that the other threads remain for
    logins.
    """

    def __init__(self, accounts: IAccounts, hashing: Hashing, telemetry: Telemetry, min_length: int) -> None:
        """@param min_length: LoginSettings.min_password_length."""
        self._accounts, self._hashing, self._telemetry = accounts, hashing, telemetry
        #: May be replaced at any time.
        self.min_length = min_length
        # The accounts whose password is being changed.
        self._changing: set[int] = set()
        self._turn = DeferredLock()

    async def change(self, account: Account, new: bytes) -> Reply:
        """Replace the password of an account. The caller has verified the old one. Returns the reply to the client.

        @raise LoginBusy: too many passwords wait to be hashed, or another session changes the password of this account.
        @raise StoreError: the password cannot be stored now.
        """
        if account.account_id in self._changing:
            raise LoginBusy
        self._changing.add(account.account_id)
        try:
            return await self._change(account, new)
        finally:
            self._changing.remove(account.account_id)

    async def _change(self, account: Account, new: bytes) -> Reply:
        try:
            text = new.decode("utf-8")
            async with self._turn:
                made = await self._hashing.make_new(text, [str(account.address)], self.min_length)
            await self._accounts.set_credentials(account.address, made)
        except UnicodeDecodeError:
            return reply.password_refused("the password is not UTF-8")
        except PasswordError as error:
            return reply.password_refused(str(error))
        except AdminError:
            return reply.ACCOUNT_CLOSED
        self._telemetry.event("password-changed", account=account.address)
        return reply.PASSWORD_CHANGED
