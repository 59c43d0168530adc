"""Small requests by HTTPS: download a document, or post a form."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

# Seconds for the connection, and for the whole request.
_CONNECT_TIMEOUT: Final = 3.0
_TIMEOUT: Final = 5.0
# Octets of an answer to a form that are read.
_ANSWER: Final = 65_536


class _Collector(Protocol):
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._octets = 0
        self.done: Deferred[bytes | None] = Deferred()

    @override
    def dataReceived(self, data: bytes) -> None:
        self._octets += len(data)
        if self._octets <= self._limit:
            self._pieces.append(data)
        elif self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.done.called:
            self.done.callback(b"".join(self._pieces) if self._octets <= self._limit else None)


async def get(reactor: Any, url: str, limit: int) -> bytes | None:
    """Return the document. Return None if there is none, the request fails, or it exceeds `limit` octets."""
    # Any failure of name lookup, connection, or certificate means that there is no document.
    answer = await _request(reactor, b"GET", url, None, limit)
    return answer[1] if isinstance(answer, tuple) and answer[0] == 200 else None


async def post_form(reactor: Any, url: str, form: bytes) -> int | str:
    """Post a form without cookies, and do not follow redirections. @return: the status, or why there is none."""
    answer = await _request(reactor, b"POST", url, form, _ANSWER)
    return answer[0] if isinstance(answer, tuple) else answer


async def _request(
    reactor: Any, method: bytes, url: str, form: bytes | None, limit: int
) -> tuple[int, bytes | None] | str:
    """@return: status and body, None if the body exceeds `limit` octets; or why there is no answer."""
    # Importing these takes 0.1 s, and few commands need them.
    from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, FileBodyProducer
    from twisted.web.http_headers import Headers

    make: Any = Agent
    policy: Any = BrowserLikePolicyForHTTPS
    of_octets: Any = FileBodyProducer
    agent = make(reactor, policy(), connectTimeout=_CONNECT_TIMEOUT)
    headers = Headers({"User-Agent": ["emailsys"]})
    producer: Any = None
    if form is not None:
        headers.setRawHeaders("Content-Type", ["application/x-www-form-urlencoded"])
        producer = of_octets(BytesIO(form))

    async def fetch() -> tuple[int, bytes | None]:
        response: Any = await agent.request(method, url.encode("ascii"), headers, producer)
        # The connection stays open until the body has been read.
        collector = _Collector(limit)
        response.deliverBody(collector)
        return response.code, await collector.done

    def give_up(outcome: Deferred[tuple[int, bytes | None] | str]) -> None:
        # The agent's exception for a cancellation differs by stage.
        outcome.errback(CancelledError())
        whole.cancel()

    def ended(answer: tuple[int, bytes | None] | str) -> None:
        if not outcome.called:
            outcome.callback(answer)

    outcome: Deferred[tuple[int, bytes | None] | str] = Deferred(give_up)
    whole: Deferred[Any] = Deferred.fromCoroutine(fetch()).addTimeout(_TIMEOUT, reactor)
    _ = whole.addErrback(_reason).addCallback(ended)
    return await outcome


def _reason(failure: Failure) -> str:
    reasons = getattr(failure.value, "reasons", None)
    return (reasons[0] if reasons else failure).getErrorMessage() or type(failure.value).__name__
