"""Face: what all pages share, the requests as they see them, and the answers that they return."""

# twisted.web has no types.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from klein import Klein
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as Late
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES

from emailsys.config.settings import Settings
from emailsys.interfaces import IDirectory, IIntake, StoreDamaged, StoreError
from emailsys.telemetry import Telemetry
from emailsys.web.base.forms import BadForm, Form, parse_form, parse_query
from emailsys.web.base.gate import SECURITY_HEADERS, Gate
from emailsys.web.base.refusal import LoginNeeded, Refusal
from emailsys.web.base.sessions import LoggedIn, Session, Sessions, new_token
from emailsys.web.base.streams import cut, send_pieces
from emailsys.web.base.templates import render

# Seconds for an answer to begin. A page takes milliseconds; a long poll names its own time.
_ANSWER_SECONDS: Final = 60.0
# Octets of an answer that are handed to the connection at once.
_AT_ONCE: Final = 64 * 1024
_HTML: Final = "text/html; charset=utf-8"
_DAMAGED: Final = (
    "The disk no longer holds what was accepted, so nothing of it is shown. Trying again does not help. Tell the "
    "operator of this mail system: the log names the message, and “emailsys verify” finds all that are damaged."
)
_NO_STORE: Final = ("Cache-Control", "no-store")
# Characters that a header field may have: no line end of a file name gets into it.
_NOT_IN_FIELDS: Final = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request.

    @ivar body: the octets, or an iterator of pieces, which are sent as fast as the browser reads them.
    @ivar headers: further fields. They replace those that every answer has.
    @ivar session: the session whose cookie the browser gets; None leaves the cookie as it is.
    """

    body: bytes | AsyncIterator[bytes] = b""
    code: int = 200
    content_type: str = _HTML
    headers: Sequence[tuple[str, str]] = ()
    session: Session | None = None


def see_other(path: str, session: Session | None = None) -> Answer:
    """Return an answer that leads to another page (RFC 9110 §15.4.4)."""
    return Answer(code=303, headers=(("Location", path),), session=session)


@dataclass(slots=True)
class Call:
    """One request, as a page sees it.

    @ivar token: the value of the cookie, or the new one that the answer sets.
    @ivar session: the session of the browser; None if it has not logged in.
    """

    face: Face
    request: Any
    token: str
    session: Session | None
    query: Mapping[str, Sequence[str]]
    ip: str
    is_secure: bool
    form: Form = field(default_factory=Form)

    def first(self, name: str, default: str = "") -> str:
        """Return the first value of a parameter in the address."""
        return next(iter(self.query.get(name, ())), default)

    def header(self, name: str) -> str:
        """Return a field of the request's header, "" if it is missing."""
        value = self.request.getHeader(name)
        return value if isinstance(value, str) else ""

    def account(self, number: int) -> LoggedIn:
        """Return an account of this browser.

        @raise LoginNeeded: the browser has not logged in to it.
        """
        found = self.session.accounts.get(number) if self.session is not None else None
        if found is None:
            raise LoginNeeded
        return found

    @property
    def proof(self) -> str:
        """The CSRF token for the forms of this browser."""
        return self.face.sessions.proof(self.token)

    def page(self, template: str, code: int = 200, headers: Sequence[tuple[str, str]] = (), **values: Any) -> Answer:
        """Return a page from a template, which gets the call itself as `call`."""
        return Answer(render(template, call=self, **values).encode(), code, headers=headers)


Handler = Callable[..., Awaitable[Answer]]


@dataclass(slots=True, eq=False)
class Face:
    """The environment of all pages.

    @ivar reactor: with time and threads.
    @ivar portal: checks passwords, within the limits for failed logins of all protocols.
    @ivar intake: takes the messages that are sent.
    @ivar store: the interfaces of the store that single pages use, by their attribute there.
    @ivar sections: the entries of the menu besides mail: pairs of path and name.
    """

    reactor: Any
    settings: Settings
    telemetry: Telemetry
    portal: Portal
    directory: IDirectory
    intake: IIntake
    store: Any
    gate: Gate
    sessions: Sessions
    app: Klein = field(default_factory=Klein)
    sections: list[tuple[str, str]] = field(default_factory=list)
    #: The page of an account after its login, with {} for its number; "" for the page of accounts.
    start: str = ""
    #: The page of all accounts of a browser; "" if there is none.
    together: str = ""
    #: Awaited at the end of the daemon, before the store is closed.
    closing: list[Callable[[], Awaitable[object]]] = field(default_factory=list)

    def route(
        self,
        path: str,
        handler: Handler,
        methods: Collection[str] = ("GET",),
        is_form: bool = True,
        seconds: float = _ANSWER_SECONDS,
    ) -> None:
        """Serve a path. The handler gets the Call and the variable parts of the path.

        @param is_form: whether requests of other methods than GET come from our forms: they need a CSRF token, and
            their body is parsed. Pages of the API, which ignores cookies, set it to False.
        @param seconds: the time in which the answer must begin.
        """
        known = frozenset({"HEAD", *methods} if "GET" in methods else methods)

        def serve(request: Any, **parts: Any) -> Deferred[bytes]:
            answering: Deferred[Answer] = Deferred.fromCoroutine(self._answer(request, handler, is_form, parts))
            _ = answering.addTimeout(seconds, self.reactor).addErrback(self._failed, request)
            return answering.addCallback(lambda answer: Deferred.fromCoroutine(self._send(request, answer)))

        self.app.route(path, methods=known, endpoint=f"{','.join(sorted(known))} {path}", strict_slashes=False)(serve)

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that computes for long in one of the reactor's threads."""
        return await deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function, *arguments)

    async def _answer(self, request: Any, handler: Handler, is_form: bool, parts: Mapping[str, Any]) -> Answer:
        # Asked before anything is awaited: a connection that ends meanwhile tells nothing any more.
        given = self.gate.token(request)
        call = await self._call(request, given)
        if is_form and request.method not in (b"GET", b"HEAD"):
            await self._read_form(call, given)
        answer = await handler(call, **parts)
        is_new = call.token != given
        if answer.session is None and is_new and answer.content_type == _HTML and is_form:
            # The forms of the page need a cookie to which their CSRF token belongs.
            request.responseHeaders.addRawHeader("Set-Cookie", self.gate.cookie(call.token, call.is_secure))
        return answer

    async def _call(self, request: Any, token: str) -> Call:
        is_secure, ip = self.gate.is_secure(request), self.gate.ip(request)
        session = await self.sessions.find(token) if token else None
        _, _, query = request.uri.partition(b"?")
        try:
            parsed = parse_query(query)
        except BadForm as error:
            raise Refusal(400, "The address of this page is malformed", str(error)) from None
        # Tokens that are not ours are replaced: a planted one must not become that of a session.
        is_ours = session is not None or self.gate.is_token(token)
        return Call(self, request, token if is_ours else new_token(), session, parsed, ip, is_secure)

    async def _read_form(self, call: Call, token: str) -> None:
        """Check that the form comes from one of our pages, and read it.

        @raise Refusal: it does not.
        """
        request = call.request
        self.gate.check_origin(request)
        octets = request.content.read()
        try:
            call.form = await self.in_thread(parse_form, call.header("Content-Type"), octets) if octets else Form()
        except BadForm as error:
            raise Refusal(400, "The form could not be read", str(error)) from None
        proof = call.header("X-CSRF-Token") or call.form.get("csrf")
        if not self.sessions.is_proven(token, proof):
            how = "Load the page again and send the form once more. Cookies must be allowed."
            raise Refusal(403, "This form is too old", how, call.form.typed)

    def _failed(self, failure: Failure, request: Any) -> Answer:
        """Return the page for a failure, and log it if it was not expected."""
        error = failure.value
        if isinstance(error, Refusal):
            return self.error_page(request, error.code, error.title, error.text, error.typed)
        if isinstance(error, LoginNeeded):
            return see_other(f"/login?next={quote(request.path.decode('ascii', 'replace'), safe='/')}")
        if isinstance(error, StoreDamaged):
            self.telemetry.event("web-damaged", why=str(error))
            return self.error_page(request, 500, "This message is damaged", _DAMAGED)
        if isinstance(error, StoreError):
            return self.error_page(request, 503, "The mail store does not answer", "Try again in a moment.")
        if failure.check(Late, CancelledError, asyncio.CancelledError):
            return self.error_page(request, 503, "This took too long", "Try again in a moment.")
        self.telemetry.exception("web-exception", failure)
        return self.error_page(request, 500, "Something went wrong here", "The log of the mail system has the details.")

    def error_page(self, request: Any, code: int, title: str, text: str, typed: str = "") -> Answer:
        """Return a page that says what is wrong."""
        if request.getHeader("Accept") == "application/json":
            return replace(_json_error(title, text), code=code)
        return Answer(render("error.html", title=title, text=text, typed=typed).encode("utf-8", "replace"), code)

    async def _send(self, request: Any, answer: Answer) -> bytes:
        if request.channel is None:
            # The browser has gone while the answer was made.
            if inspect.isasyncgen(answer.body):
                await answer.body.aclose()
            return b""
        headers = {
            **dict(SECURITY_HEADERS),
            **dict([_NO_STORE, ("Content-Type", answer.content_type)]),
            **dict(answer.headers),
        }
        for name, value in headers.items():
            if value:
                request.setHeader(name, _NOT_IN_FIELDS.sub("_", value))
        if self.gate.has_tls(request) and request.getRequestHostname() != b"localhost":
            # For localhost it would apply to all other programs there.
            request.setHeader("Strict-Transport-Security", "max-age=31536000")
        if answer.session is not None:
            cookie = self.gate.cookie(answer.session.token, self.gate.is_secure(request))
            request.responseHeaders.addRawHeader("Set-Cookie", cookie)
        request.setResponseCode(answer.code, RESPONSES.get(answer.code, b""))
        body = answer.body
        if isinstance(body, bytes):
            request.setHeader("Content-Length", str(len(body)))
            if len(body) <= _AT_ONCE:
                return body
            # Handed over at once, a file would be cut off after the idle timeout, however fast it is read.
            body = cut(body)
        if request.method == b"HEAD":
            return b""
        try:
            await send_pieces(request, body, self.reactor)
        except StoreError as error:
            # The header is sent: only an end without the last chunk tells the browser that octets are missing.
            self.telemetry.event("web-cut-off", why=str(error))
            request.transport.abortConnection()
        finally:
            if inspect.isasyncgen(body):
                await body.aclose()
        return b""


def _json_error(title: str, text: str) -> Answer:
    import json

    return Answer(json.dumps({"error": title, "detail": text}).encode(), content_type="application/json")
