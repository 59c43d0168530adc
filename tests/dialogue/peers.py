"""A client that plays scripts over a real socket."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.python.failure import Failure


class SocketPeer(Protocol):
    """A client over a real connection; connect it to an endpoint, then play."""

    def __init__(self, timeout: float = 60.0) -> None:
        self._unread = b""
        self._lost = False
        self._waiter: Deferred[None] | None = None
        self._timeout = timeout
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._unread += data
        self._wake()

    def connectionLost(self, reason: Failure = Failure(error.ConnectionDone())) -> None:  # noqa: B008
        self._lost = True
        self._wake()
        self.gone.callback(None)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.called:
            waiter.callback(None)

    async def send(self, octets: bytes) -> None:
        assert self.transport is not None
        self.transport.write(octets)

    async def line(self) -> bytes | None:
        from twisted.internet import reactor

        while b"\r\n" not in self._unread:
            if self._lost:
                assert not self._unread, f"the server closed in the middle of {self._unread!r}"
                return None
            before = self._unread
            waiter: Deferred[None] = Deferred()
            self._waiter = waiter
            await waiter.addTimeout(self._timeout, reactor, lambda failure, seconds: None)
            assert self._lost or self._unread != before, f"the server was silent for {self._timeout} s after {before!r}"
        line, _, self._unread = self._unread.partition(b"\r\n")
        return line

    async def silence(self) -> None:
        assert not self._unread, f"the server sent {self._unread!r}"

    async def hang_up(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
        await self.gone

    async def starttls(self) -> None:
        assert self.transport is not None
        self.transport.startTLS(CertificateOptions(method=SSL.TLS_METHOD))  # type: ignore[attr-defined]

    async def advance(self, seconds: float) -> None:
        raise AssertionError("time does not pass at our word on a real socket")
