"""Checker of passwords by LDAP: a bind with the name and the password of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from emailsys.extension import CheckContext, CheckFailed
from emailsys.mail.ip import is_loopback
from emailsys.net.outbound.question import Question, ask
from emailsys.net.tls.client import ClientTLS, client_context
from emailsys.net.tls.context import TLSConfigError
from emailsys.wire.ldap_bind import (
    SUCCESS,
    WRONG,
    LDAPError,
    Result,
    bind_request,
    escaped,
    read_result,
    start_tls_request,
)

_CONNECT_SECONDS: Final = 10.0
_PORTS: Final = {"ldap": 389, "ldaps": 636, "ldapi": 0}
_ALLOWED: Final = "ldaps://HOST/DN, ldap://HOST/DN or ldapi://%2FPATH/DN, in which DN has {user} or {address}"
_START_TLS, _BIND = 1, 2


@implementer(ICredentialsChecker)
class LDAPLogin:
    """Binds to a directory in the name of the user.

    The name and the argument of the context are a URL: `ldaps://HOST[:PORT]/DN[?ca_file=PATH]`. In the DN, `{user}`
    is the local part of the address, `{domain}` its domain, and `{address}` both. A connection to another machine
    is encrypted: by `ldap`, too, which begins TLS on it. `ldapi` has the path of a socket in place of the host.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, context: CheckContext, endpoint: IStreamClientEndpoint | None = None) -> None:
        """
        @param endpoint: in place of that of the URL.
        @raise ValueError: the URL is wrong.
        """
        url = urlsplit(f"{context.name}:{context.argument}")
        options = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        ca_file = options.pop("ca_file", None)
        self._template = unquote(url.path).removeprefix("/")
        if not url.hostname or url.username or url.fragment or options:
            raise ValueError(f"found {context.argument!r}; allowed: {_ALLOWED}")
        if not any(name in self._template for name in ("{user}", "{address}")):
            raise ValueError(f"found the DN {self._template!r}; allowed: {_ALLOWED}")
        # A mistake in the template is told now, not at the first login.
        self._name("user@domain")
        self._is_tls_first = context.name == "ldaps"
        port = _PORTS[context.name] if url.port is None else url.port
        self._endpoint = endpoint or _endpoint(url, url.hostname, port, context)
        # None for a connection in the clear, which stays on this machine.
        self._tls: ClientTLS | None = None
        if context.name == "ldaps" or (context.name == "ldap" and not _is_here(url.hostname)):
            try:
                self._tls = client_context(url.hostname, None if ca_file is None else Path(ca_file))
            except TLSConfigError as error:
                raise ValueError(str(error)) from None

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """Return a Deferred of the name of the user. It fails with UnauthorizedLogin or CheckFailed."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> bytes | tuple[()]:
        address = credentials.username
        question = await ask(self._endpoint)
        try:
            await self._protect(question)
            question.write(bind_request(_BIND, self._name(address.decode()).encode(), credentials.password))
            result = await question.answer(lambda octets: read_result(octets, _BIND))
        except LDAPError as error:
            raise CheckFailed(f"the LDAP server gave no valid answer: {error}") from None
        finally:
            question.end()
        if result.code in WRONG:
            raise UnauthorizedLogin("login failed")
        _check_result(result, "the bind")
        return bytes(address)

    async def _protect(self, question: Question) -> None:
        if self._tls is None:
            return
        if not self._is_tls_first:
            question.write(start_tls_request(_START_TLS))
            _check_result(await question.answer(lambda octets: read_result(octets, _START_TLS)), "StartTLS")
        # The certificate is verified in the handshake. What is written waits for its end.
        question.start_tls(self._tls)

    def _name(self, address: str) -> str:
        user, _, domain = address.rpartition("@")
        values = {"{user}": escaped(user), "{domain}": escaped(domain), "{address}": escaped(address)}
        name = self._template
        for placeholder in values:
            # No value has a brace: `escaped` leaves none.
            name = name.replace(placeholder, values[placeholder])
        if "{" in name or "}" in name:
            raise ValueError(f"found the DN {self._template!r}; allowed in braces: {', '.join(values)}")
        return name


def _is_here(host: str) -> bool:
    return host == "localhost" or is_loopback(host)


def _endpoint(url: SplitResult, host: str, port: int, context: CheckContext) -> IStreamClientEndpoint:
    if context.name == "ldapi":
        # The host of a URL is taken in lower case, but not a path.
        return UNIXClientEndpoint(context.reactor, unquote(url.netloc), timeout=_CONNECT_SECONDS)
    return HostnameEndpoint(context.reactor, host, port, timeout=_CONNECT_SECONDS)


def _check_result(result: Result, what: str) -> None:
    if result.code != SUCCESS:
        raise CheckFailed(f"the LDAP server refuses {what}: code {result.code} {result.text[:200]!r}")
