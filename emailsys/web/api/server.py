"""The API on the web face: requests of HTTP to the table of operations, and their answers."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred

from emailsys.web.api.application import Api
from emailsys.web.api.document import openapi
from emailsys.web.api.live import Stream
from emailsys.web.api.operation import EVENTS_TYPE, JSON_TYPE, Result
from emailsys.web.api.problem import Problem
from emailsys.web.api.table import BASE, Asked
from emailsys.web.base.face import Answer, Call, Face
from emailsys.web.base.refusal import Refusal

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
# Seconds for an answer. Each operation of the table ends by itself before that.
_SECONDS: Final = 700.0
# Seconds after which a stream ends, so that a removed token does not allow watching for long.
_STREAM_SECONDS: Final = 300.0


class ApiServer:
    """Serves the API."""

    def __init__(self, face: Face, api: Api) -> None:
        self._api = api
        self._document = json.dumps(openapi(api.table), ensure_ascii=True, indent=1).encode("ascii")
        self._most = max(operation.max_body for operation in api.table.operations)
        self._check_token = api.table.check_token
        self._ip = face.gate.ip
        face.route(f"{BASE}/openapi.json", self._openapi)
        # A path of any form goes to the table, which answers for those that do not exist, too.
        face.route(f"{BASE}/<path:rest>", self._operation, _METHODS, is_form=False, seconds=_SECONDS)
        face.route("/explorer", self._explorer)
        face.sections.append(("/explorer", "Explorer of the API"))
        face.closing.append(self._close)

    async def _close(self) -> None:
        self._api.numbers.close()
        self._api.wire.close()

    async def _explorer(self, call: Call) -> Answer:
        return call.page("system/explorer.html", title="Explorer of the API")

    async def _openapi(self, call: Call) -> Answer:
        return Answer(self._document, content_type=JSON_TYPE)

    def body_limit(self, request: Any) -> int:
        """Return the most octets of a body, by the header of a request; 0 for a request without a token.

        The token is checked while the body arrives, and the connection of a wrong one is aborted.
        """
        text = _bearer(request.getHeader("authorization") or "")
        if not text:
            return 0

        ip = self._ip(request)

        async def check() -> None:
            await self._check_token(text, ip)

        def refuse(_: object) -> None:
            # Of a request that has ended meanwhile, there is nothing left to abort.
            channel = getattr(request, "channel", None)
            if channel is not None:
                channel.abort()

        _ = Deferred.fromCoroutine(check()).addErrback(refuse)
        return self._most

    async def _operation(self, call: Call, rest: str) -> Answer:
        request = call.request
        raw, _, query = request.uri.partition(b"?")
        headers = {
            name: request.getHeader(name) or ""
            for name in ("authorization", "content-type", "idempotency-key")
            if request.getHeader(name) is not None
        }
        asked = Asked(
            request.method.decode("ascii", "replace"),
            raw.decode("ascii", "replace"),
            query.decode("ascii", "replace"),
            headers,
            request.content.read(),
            call.ip,
            call.is_secure,
        )
        answering: Deferred[Result] = Deferred.fromCoroutine(self._api.table.answer(asked))
        gone: Deferred[Any] = request.notifyFinish()
        # Nobody waits any more for a message whose client has left.
        _ = gone.addErrback(lambda _: answering.cancel())
        try:
            result = await answering
        except CancelledError:
            return Answer(code=503)
        return self._as_answer(call, result)

    def _as_answer(self, call: Call, result: Result) -> Answer:
        content = result.content
        body: Any = content
        if isinstance(content, Stream):
            body = _watched(call.request, content, self._api)
        elif content is None:
            body = b""
        elif not isinstance(content, bytes) and not inspect.isasyncgen(content):
            body = json.dumps(content, ensure_ascii=True).encode("ascii")
        content_type = "" if result.status == 204 else result.content_type
        return Answer(body, result.status, content_type, tuple(result.headers))


def event_stream(call: Call, begin: Callable[[], Stream], api: Api) -> Answer:
    """Return the events of a stream for a page.

    @param begin: returns the stream, or raises Problem if too many clients watch.
    """
    try:
        stream = begin()
    except Problem as error:
        raise Refusal(error.status, error.title, error.help) from None
    pieces = _watched(call.request, stream, api)
    return Answer(pieces, content_type=EVENTS_TYPE, headers=(("X-Accel-Buffering", "no"),))


def _watched(request: Any, stream: Stream, api: Api) -> AsyncIterator[bytes]:
    """Return the pieces of a stream that ends with its connection."""
    if request.channel is None:
        # It has ended already, which nothing will tell any more.
        api.numbers.leave(stream)
    else:
        stream.drop = request.transport.abortConnection
        # Browsers connect again by themselves, and their login or token is checked again.
        ending = api.numbers.clock.callLater(_STREAM_SECONDS, stream.close)

        def ended(_: object) -> None:
            api.numbers.leave(stream)
            if ending.active():
                ending.cancel()

        gone: Deferred[Any] = request.notifyFinish()
        _ = gone.addBoth(ended)
    return _pieces(stream)


async def _pieces(stream: Stream) -> AsyncIterator[bytes]:
    # A comment, by which the browser knows at once that it is connected.
    yield b":\n\n"
    async for piece in stream.pieces():
        yield piece


def _bearer(field: str) -> str:
    kind, _, text = field.partition(" ")
    return text.strip() if kind.lower() == "bearer" else ""


def add_api(face: Face, api: Api) -> ApiServer:
    """Serve the API on the web face."""
    return ApiServer(face, api)
