"""Download of a small document by HTTPS."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

# Seconds for the connection, and for the whole request.
_CONNECT_TIMEOUT: Final = 3.0
_TIMEOUT: Final = 5.0


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
    # Importing these takes 0.1 s, and only `account add` needs them.
    from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
    from twisted.web.http_headers import Headers

    make: Any = Agent
    policy: Any = BrowserLikePolicyForHTTPS
    agent = make(reactor, policy(), connectTimeout=_CONNECT_TIMEOUT)

    async def fetch() -> bytes | None:
        response: Any = await agent.request(b"GET", url.encode("ascii"), Headers({"User-Agent": ["emailsys"]}))
        # The connection stays open until the body has been read.
        collector = _Collector(limit)
        response.deliverBody(collector)
        body = await collector.done
        return body if response.code == 200 else None

    def give_up(outcome: Deferred[bytes | None]) -> None:
        # The agent's exception for a cancellation differs by stage.
        outcome.errback(CancelledError())
        whole.cancel()

    def ended(body: bytes | None) -> None:
        if not outcome.called:
            outcome.callback(body)

    outcome: Deferred[bytes | None] = Deferred(give_up)
    whole = Deferred.fromCoroutine(fetch()).addTimeout(_TIMEOUT, reactor)
    # Any failure of name lookup, connection, or certificate means that there is no document.
    _ = whole.addErrback(lambda failure: None).addCallback(ended)
    return await outcome
