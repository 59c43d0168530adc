"""Login of an SMTP or POP3 session: passes the credentials of a SASL exchange to the policy, which checks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.cred.credentials import ICredentials
from twisted.cred.portal import Portal

from emailsys.interfaces import ClientPassword, ISecrets, ProvenName
from emailsys.mail.envelope import Client
from emailsys.wire.sasl import Credentials, NeedsSecret

#: Failed logins after which a connection is closed: a client that guesses passwords must connect again.
MAX_FAILED_LOGINS: Final = 5


def cred_of(given: Credentials, ip: str) -> ICredentials:
    """Returns the credentials for the portal.

    @param ip: the address of the client, by which failed logins are counted.
    """
    if given.proven is None:
        # A request for another identity takes the same time as a wrong password, and gets the same reply.
        return ClientPassword(given.username, given.password if given.acts_as_itself else b"", ip)
    return ProvenName(given.username, ip, is_proven=given.proven and given.acts_as_itself)


class SessionLogin:
    """The current login of a session, and its failed logins."""

    def __init__(self, portal: Portal, avatar: Any, secrets: ISecrets | None) -> None:
        """
        @param avatar: the interface of the avatar that the portal returns.
        @param secrets: finds stored secrets; None if the service has none.
        """
        self._portal = portal
        self._avatar = avatar
        self._secrets = secrets
        self._logout: Callable[[], object] | None = None
        self._failures = 0

    async def log_in(self, given: ICredentials | Credentials, mind: Client, wanted: Callable[[], bool]) -> Any:
        """Log in, and return the avatar.

        @param wanted: called when the portal has answered. If it returns False, the login is ended and None returned.

        @raise LoginFailed: the credentials are refused.
        @raise TooManyGuesses: the client's network has too many failed logins.
        @raise LoginBusy: too many logins wait.
        @raise StoreError: the store cannot answer.
        """
        credentials = cred_of(given, mind.ip) if isinstance(given, Credentials) else given
        _, avatar, logout = await self._portal.login(credentials, mind, self._avatar)
        self._logout = logout
        if not wanted():
            self.log_out()
            return None
        return avatar

    async def confirm(self, given: Credentials, mind: Client) -> None:
        """Check credentials again, without a change to the current login. Raises as `log_in` does."""
        _, _, logout = await self._portal.login(cred_of(given, mind.ip), mind, self._avatar)
        logout()

    def log_out(self) -> None:
        """End the login and release the avatar. Does nothing without a login."""
        logout, self._logout = self._logout, None
        if logout is not None:
            logout()

    async def secret(self, needed: NeedsSecret) -> str | None:
        """Returns the stored secret that a mechanism needs, None if there is none.

        @raise StoreError: the store cannot answer.
        """
        return None if self._secrets is None else await self._secrets.find_secret(needed.account, needed.scheme)

    def failed(self) -> bool:
        """Count a failed login.

        @return: whether the connection must be closed.
        """
        self._failures += 1
        return self._failures >= MAX_FAILED_LOGINS
