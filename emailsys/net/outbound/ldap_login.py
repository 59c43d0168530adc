"""Checker of passwords by LDAP: a bind with the name and the password of the user, after a search if there is one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

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
    Result,
    bind_request,
    escaped,
    read_result,
    start_tls_request,
)
from emailsys.wire.ldap_search import TOO_MANY, read_found, search_request
from emailsys.wire.ldap_values import LDAPError

_CONNECT_SECONDS: Final = 10.0
_PORTS: Final = {"ldap": 389, "ldaps": 636, "ldapi": 0}
_ALLOWED: Final = (
    "ldaps://HOST/DN, ldap://HOST/DN or ldapi://%2FPATH/DN, in which DN has {user} or {address}; "
    "or with BASE?ATTRIBUTE in place of the DN"
)
_START_TLS, _BIND, _READER_BIND, _SEARCH = 1, 2, 3, 4
_OPTIONS: Final = frozenset({"ca_file", "bind_dn", "password_file"})
# What is searched for if the URL has only the name of an attribute. These have whole addresses.
_OF_ATTRIBUTE: Final = {"mail": "{address}", "userprincipalname": "{address}"}
_OF_OTHERS: Final = "{user}"
# Printable characters that directories ignore (RFC 4518 §2.2).
_IGNORED: Final = re.compile(r"[\u034f\u180b-\u180d\ufe00-\ufe0f\ufffc]")
_PLACEHOLDER: Final = re.compile(r"\{(?:user|domain|address)\}")


@implementer(ICredentialsChecker)
class LDAPLogin:
    """Binds to a directory in the name of the user.

    The name and the argument of the context are a URL: `ldaps://HOST[:PORT]/DN[?ca_file=PATH]`. In the DN, `{user}`
    is the local part of the address, `{domain}` its domain, and `{address}` both. A connection to another machine
    is encrypted: by `ldap`, too, which begins TLS on it. `ldapi` has the path of a socket in place of the host.

    `ldaps://HOST/BASE?ATTRIBUTE[&bind_dn=DN&password_file=PATH]` searches for the name below a base first, by an
    attribute: `uid` for `uid={user}`, or `mail={address}`.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, context: CheckContext, endpoint: IStreamClientEndpoint | None = None) -> None:
        """
        @param endpoint: in place of that of the URL.
        @raise ValueError: the URL is wrong.
        """
        url = urlsplit(f"{context.name}:{context.argument}")
        options, searched = _parts(url.query)
        self._path = unquote(url.path).removeprefix("/")
        if not url.hostname or url.username or url.fragment or len(searched) > 1:
            raise ValueError(f"found {context.argument!r}; allowed: {_ALLOWED}")
        # The attribute and the template of its value; None without a search.
        self._searched: tuple[str, str] | None = searched[0] if searched else None
        template = self._searched[1] if self._searched else self._path
        if not any(name in template for name in ("{user}", "{address}")):
            raise ValueError(f"found {template!r}; allowed: {_ALLOWED}")
        # A mistake in the template is told now, not at the first login.
        for one in (self._path, template):
            _filled(one, "user@domain", escaped)
        self._reader = _reader(options)
        if self._reader is not None and self._searched is None:
            raise ValueError("bind_dn is only for a search, as in BASE?uid&bind_dn=DN&password_file=PATH")
        ca_file = options.get("ca_file")
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
            name = await self._name(question, address.decode())
            question.write(bind_request(_BIND, name, credentials.password))
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

    async def _name(self, question: Question, address: str) -> bytes:
        """Return the name of the entry of a user.

        @raise UnauthorizedLogin: there is none.
        """
        if _is_ambiguous(address.rpartition("@")[0]):
            raise UnauthorizedLogin("login failed")
        if self._searched is None:
            return _filled(self._path, address, escaped).encode()
        attribute, template = self._searched
        wanted = _filled(template, address, str)
        if any(character in wanted for character in ' "\\'):
            # A directory may ignore differences in spaces. Addresses of mail differ by them.
            raise UnauthorizedLogin("login failed")
        if self._reader is not None:
            question.write(bind_request(_READER_BIND, *self._reader))
            bound = await question.answer(lambda octets: read_result(octets, _READER_BIND))
            _check_result(bound, "the bind of bind_dn")
        base = _filled(self._path, address, escaped)
        question.write(search_request(_SEARCH, base.encode(), attribute.encode(), wanted.encode()))
        found = await question.answer(lambda octets: read_found(octets, _SEARCH))
        if len(found.names) > 1 or found.code == TOO_MANY:
            raise CheckFailed(f"several entries of the LDAP server have {attribute}={wanted}")
        _check_result(Result(found.code, found.text), "the search")
        if not found.names:
            raise UnauthorizedLogin("login failed")
        # RFC 4513 §5.1.1: a bind without a name is an anonymous one.
        if not found.names[0]:
            raise CheckFailed("the LDAP server found an entry without a name")
        return found.names[0]


def _is_ambiguous(user: str) -> bool:
    """Return whether a directory may take a name for another one, which has an account of its own here (RFC 4518 §2).

    With `create_accounts`, a person could make accounts whose addresses look like that of somebody else.
    """
    return (
        not user.isprintable()
        or unicodedata.normalize("NFKC", user) != user
        or _IGNORED.search(user) is not None
        # A space at the beginning, at the end, or after another one.
        or "" in user.split(" ")
    )


def _parts(query: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the options of a URL, and the attributes to search by with the templates of their values."""
    options: dict[str, str] = {}
    searched: list[tuple[str, str]] = []
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        key, value = unquote(key), unquote(value)
        if key in _OPTIONS:
            if not value:
                raise ValueError(f"found {key} without a value")
            options[key] = value
        else:
            searched.append((key, value if equals else _OF_ATTRIBUTE.get(key.lower(), _OF_OTHERS)))
    return options, searched


def _reader(options: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    """Return the name and the password of the account that searches; None for an anonymous search.

    @raise ValueError: one of them is missing, or the file cannot be read.
    """
    name, file = options.get("bind_dn"), options.get("password_file")
    if name is None and file is None:
        return None
    if not name or not file:
        raise ValueError("bind_dn and password_file belong together")
    try:
        if Path(file).is_fifo() or Path(file).is_char_device():
            raise ValueError(f"password_file: {file} is a pipe or a device")
        password = Path(file).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ValueError(f"password_file: {file}: {error.strerror}") from None
    if not password:
        raise ValueError(f"password_file: {file} is empty")
    return name.encode(), password


def _filled(template: str, address: str, shown: Callable[[str], str]) -> str:
    """Return a template with the parts of an address."""
    user, _, domain = address.rpartition("@")
    values = {"{user}": user, "{domain}": domain, "{address}": address}
    without = template
    for placeholder in values:
        without = without.replace(placeholder, "")
    if "{" in without or "}" in without:
        raise ValueError(f"found {template!r}; allowed in braces: {', '.join(values)}")
    return _PLACEHOLDER.sub(lambda match: shown(values[match[0]]), template)


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
