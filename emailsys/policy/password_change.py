"""Change of a password by its owner, in a submission session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from emailsys.interfaces import Account
from emailsys.mail import reply
from emailsys.mail.reply import Reply
from emailsys.operations import AdminError, IAccounts
from emailsys.passwords import ARGON2ID, PasswordError
from emailsys.telemetry import Telemetry


class Hashing(Protocol):
    """Hashing of new passwords. `emailsys.policy.hashing_threads` does it off the reactor's thread."""

    def hash_new(self, password: str, names: Sequence[str], min_length: int) -> Deferred[str]:
        """Return a Deferred of the hash. It fails with PasswordError or LoginBusy."""


class PasswordChanges:
    """Replaces passwords by new ones that follow the rule for new passwords."""

    def __init__(self, accounts: IAccounts, hashing: Hashing, telemetry: Telemetry, min_length: int) -> None:
        """@param min_length: LoginSettings.min_password_length."""
        self._accounts, self._hashing, self._telemetry = accounts, hashing, telemetry
        self._min_length = min_length

    async def change(self, account: Account, new: bytes) -> Reply:
        """Replace the password of an account. The caller has verified the old one. Returns the reply to the client.

        @raise LoginBusy: too many passwords wait to be hashed.
        @raise StoreError: the password cannot be stored now.
        """
        try:
            hashed = await self._hashing.hash_new(new.decode("utf-8"), [str(account.address)], self._min_length)
            await self._accounts.set_credentials(account.address, [(ARGON2ID, hashed)])
        except UnicodeDecodeError:
            return reply.password_refused("the password is not UTF-8")
        except PasswordError as error:
            return reply.password_refused(str(error))
        except AdminError:
            return reply.ACCOUNT_CLOSED
        self._telemetry.event("password-changed", account=account.address)
        return reply.PASSWORD_CHANGED
