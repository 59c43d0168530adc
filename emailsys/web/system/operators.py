"""Logins of operators in browsers: with an operators' token, or by a link that `emailsys web login` prints.

They have a cookie of their own, because an account that reads mail must not become an operator, nor the reverse.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from twisted.cred.error import UnauthorizedLogin

from emailsys.interfaces import LoginBusy, StoreError
from emailsys.interfaces.operators import Actor, Scope
from emailsys.web.api.problem import Problem
from emailsys.web.base.face import Answer, Call, Face, see_other
from emailsys.web.base.refusal import Refusal
from emailsys.web.base.services import Services

#: Where the pages stand.
BASE: Final = "/system"
# Logins at the same time. Beyond that the one that was not used for the longest time ends.
_MAX_LOGINS: Final = 200
_TOKEN_OCTETS: Final = 32
# Seconds in which a link can be used.
_LINK_SECONDS: Final = 600.0
_MAX_LINKS: Final = 20
_MAX_TYPED: Final = 200
_ALL: Final = frozenset(scope for scope in Scope if not scope.is_of_accounts)

Handler = Callable[..., Awaitable[Answer]]


@dataclass(slots=True)
class OperatorLogin:
    """A browser of an operator.

    @ivar token: the id and the digest of its token, None after a link.
    @ivar name: as the log of changes names it.
    """

    scopes: frozenset[Scope]
    token: tuple[str, bytes] | None
    name: str
    began: float
    used: float


class Operators:
    """The logins of operators, and the pages for logging in and out."""

    def __init__(self, face: Face, services: Services) -> None:
        self._face = face
        self._check_token = services.check_token
        # The least recently used is first.
        self._logins: OrderedDict[str, OperatorLogin] = OrderedDict()
        self._links: OrderedDict[str, float] = OrderedDict()
        self._used_links = 0
        face.route(f"{BASE}/login", self._login_page)
        face.route(f"{BASE}/login", self._log_in, ("POST",))
        face.route(f"{BASE}/once/<link>", self._use_link)
        face.route(f"{BASE}/logout", self._log_out, ("POST",))

    def __len__(self) -> int:
        return len(self._logins)

    def make_link(self) -> str:
        """Return the path of a link that logs in once, within ten minutes."""
        token = secrets.token_urlsafe(_TOKEN_OCTETS)
        self._links[token] = self._face.reactor.seconds() + _LINK_SECONDS
        while len(self._links) > _MAX_LINKS:
            self._links.popitem(last=False)
        return f"{BASE}/once/{token}"

    def route(
        self,
        path: str,
        handler: Handler,
        scope: Scope = Scope.SYSTEM_READ,
        methods: Collection[str] = ("GET",),
        seconds: float = 60.0,
    ) -> None:
        """Serve a page for operators whose login has a scope.

        @param seconds: the time in which the answer must begin.
        """

        async def guarded(call: Call, **parts: Any) -> Answer:
            login = await self._find(call)
            if login is None:
                return see_other(f"{BASE}/login?next={quote(call.request.path.decode('ascii', 'replace'), safe='/')}")
            if scope not in login.scopes:
                raise Refusal(
                    403,
                    "Your login does not permit this",
                    f"It needs the scope {scope.value}. Log in with another token.",
                )
            try:
                return await handler(call, **parts)
            except Problem as error:
                raise Refusal(error.status, error.title, error.detail or error.help) from None

        self._face.route(BASE + path, guarded, methods, seconds=seconds)

    async def may(self, call: Call, scope: Scope) -> bool:
        """Whether the login of a browser has a scope."""
        login = await self._find(call)
        return login is not None and scope in login.scopes

    async def actor(self, call: Call) -> Actor:
        """Return who makes a change, for the log.

        @raise Refusal: the login has ended.
        """
        login = await self._find(call)
        if login is None:
            raise Refusal(403, "Your login has ended", "Nothing was changed. Log in again.")
        return Actor(login.name, call.ip)

    def _cookie_name(self, call: Call) -> str:
        return f"{self._face.gate.cookie_name(call.is_secure)}-operator"

    def _cookie(self, call: Call) -> str:
        value: Any = call.request.getCookie(self._cookie_name(call).encode())
        return value.decode("ascii", "replace") if isinstance(value, bytes) else ""

    async def _find(self, call: Call) -> OperatorLogin | None:
        """Return the login of a browser that is still valid.

        @raise StoreError: the token cannot be looked up now.
        """
        cookie = self._cookie(call)
        login = self._logins.get(cookie)
        if login is None:
            return None
        now, web = self._face.reactor.seconds(), self._face.settings.web
        is_over = now - login.used > web.idle_timeout or now - login.began > web.session_timeout
        if not is_over and login.token is not None:
            found = await self._face.store.tokens.find(login.token[0])
            is_over = found is None or found[1] != login.token[1] or found[0].has_expired(datetime.now(UTC))
        if is_over:
            self._logins.pop(cookie, None)
            return None
        login.used = now
        if cookie in self._logins:
            self._logins.move_to_end(cookie)
        return login

    def _enter(self, call: Call, scopes: frozenset[Scope], token: tuple[str, bytes] | None, then: str) -> Answer:
        now, cookie = self._face.reactor.seconds(), secrets.token_urlsafe(_TOKEN_OCTETS)
        self._logins.pop(self._cookie(call), None)
        if token is None:
            self._used_links += 1
        name = f"link-{self._used_links}" if token is None else f"token-{token[0]}"
        self._logins[cookie] = OperatorLogin(scopes, token, name, now, now)
        while len(self._logins) > _MAX_LOGINS:
            self._logins.popitem(last=False)
        self._face.telemetry.event("web-operator-login", ip=call.ip, by=name, token=None if token is None else token[0])
        answer = see_other(then if _is_own(then) else BASE)
        return Answer(code=303, headers=(*answer.headers, ("Set-Cookie", self._set_cookie(call, cookie))))

    def _set_cookie(self, call: Call, value: str, more: str = "") -> str:
        secure = "; Secure" if call.is_secure else ""
        return f"{self._cookie_name(call)}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}"

    async def _login_page(self, call: Call) -> Answer:
        return self._form(call, call.first("next"))

    def _form(self, call: Call, then: str, error: str = "", code: int = 200) -> Answer:
        return call.page(
            "system/login.html", code, title="Log in as an operator", then=then if _is_own(then) else "", error=error
        )

    async def _log_in(self, call: Call) -> Answer:
        text, then = call.form.get("token").strip(), call.form.get("next")
        if not text or len(text) > _MAX_TYPED:
            return self._form(call, then, "Type an operators' token.", 400)
        try:
            row = await self._check_token(text, call.ip)
            found = await self._face.store.tokens.find(row.token_id)
        except UnauthorizedLogin:
            self._face.telemetry.event("web-operator-refused", ip=call.ip)
            return self._form(call, then, "This token is not valid.", 403)
        except LoginBusy:
            return self._form(call, then, "Too many failed logins from your network. Try again in a few minutes.", 429)
        except StoreError:
            return self._form(call, then, "The mail store does not answer. Try again in a moment.", 503)
        scopes = row.scopes & _ALL
        if not scopes or found is None:
            return self._form(call, then, "This is the token of an account. Operators have tokens of their own.", 403)
        return self._enter(call, scopes, (row.token_id, found[1]), then)

    async def _use_link(self, call: Call, link: str) -> Answer:
        if call.request.method == b"HEAD":
            return Answer()
        ends = self._links.pop(link, 0.0)
        if self._face.reactor.seconds() >= ends:
            raise Refusal(403, "This link was used already, or is too old", "Make another one: emailsys web login")
        return self._enter(call, _ALL, None, "")

    async def _log_out(self, call: Call) -> Answer:
        self._logins.pop(self._cookie(call), None)
        gone = self._set_cookie(call, "", "; Max-Age=0")
        return Answer(code=303, headers=(("Location", f"{BASE}/login"), ("Set-Cookie", gone)))


def _is_own(path: str) -> bool:
    """Whether a path is one of these pages: the login must not lead to another site."""
    return (path == BASE or path.startswith(f"{BASE}/")) and path.isprintable() and "\\" not in path
