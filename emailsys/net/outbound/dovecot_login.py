"""Checker of passwords by Dovecot: asks the socket of its authentication service."""

from __future__ import annotations

import secrets
from typing import Any, Final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from emailsys.extension import CheckContext, CheckFailed
from emailsys.net.outbound.question import ask
from emailsys.net.outbound.server_address import endpoint_of
from emailsys.wire.dovecot_auth import MAX_LINE, DovecotError, ends_hello, hello, login, verdict

_SERVICE: Final = "smtp"
# Lines of the greeting. Dovecot sends one for each mechanism of SASL, and six others.
_MAX_GREETING: Final = 100


@implementer(ICredentialsChecker)
class DovecotLogin:
    """Asks Dovecot whether a password is right. The name of the user is the address, or what Dovecot makes of it.

    The argument of the context is "unix:PATH" or "inet:HOST:PORT".
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, context: CheckContext, endpoint: IStreamClientEndpoint | None = None) -> None:
        """
        @param endpoint: in place of the argument.
        @raise ValueError: the argument names no server.
        """
        self._endpoint = endpoint or endpoint_of(context.argument, context.reactor)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """Return a Deferred of the name of the user. It fails with UnauthorizedLogin or CheckFailed."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> bytes | tuple[()]:
        name = credentials.username
        try:
            request = login(name, credentials.password, getattr(credentials, "ip", ""), _SERVICE)
        except ValueError:
            raise UnauthorizedLogin("login failed") from None
        question = await ask(self._endpoint)
        try:
            # The server looks for another client of this number, and refuses the second one.
            question.write(hello(secrets.randbelow(2**31 - 1) + 1))
            for _ in range(_MAX_GREETING):
                if ends_hello(await question.line(MAX_LINE)):
                    break
            else:
                raise CheckFailed("the greeting of Dovecot has no end")
            question.write(request)
            answer = verdict(await question.line(MAX_LINE))
        except DovecotError as error:
            raise CheckFailed(f"Dovecot gave no valid answer: {error}") from None
        finally:
            question.end()
        if answer.is_right is None:
            raise CheckFailed("Dovecot cannot check the password now")
        if not answer.is_right:
            raise UnauthorizedLogin("login failed")
        return answer.user or bytes(name)
