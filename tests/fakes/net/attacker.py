"""A client that keeps TLS in its own hands, so that it can mix plaintext and TLS as no honest library does."""

from __future__ import annotations

import contextlib

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

PATIENCE = 60.0


class Attacker(Protocol):
    """Speaks in the clear until `begin_tls`, then within TLS; `inject` puts octets beside it at any time."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False
        self._tls: SSL.Connection | None = None
        self._is_secured = False
        self._waiter: Deferred[None] | None = None

    def inject(self, octets: bytes) -> None:
        """Send octets as they are, past TLS."""
        assert self.transport is not None
        self.transport.write(octets)

    def begin_tls(self, before: bytes = b"", context: SSL.Context | None = None) -> None:
        """Send a ClientHello, in one segment with what is to go before it."""
        if context is None:
            context = SSL.Context(SSL.TLS_METHOD)
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()
        self._shake(before)

    def say(self, octets: bytes) -> None:
        """Send octets, within TLS once it has begun."""
        if self._tls is None:
            self.inject(octets)
        else:
            self._tls.sendall(octets)
            self.inject(self._records())

    def _records(self) -> bytes:
        assert self._tls is not None
        try:
            return self._tls.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def _shake(self, before: bytes = b"") -> None:
        assert self._tls is not None
        # An error is either that it goes on with the next records, or one that ends it on both sides.
        with contextlib.suppress(SSL.Error):
            self._tls.do_handshake()
            self._is_secured = True
        self.inject(before + self._records())

    def dataReceived(self, data: bytes) -> None:
        if self._tls is None:
            self.heard += data
        else:
            self._tls.bio_write(data)
            if not self._is_secured:
                self._shake()
            with contextlib.suppress(SSL.Error):
                while self._is_secured:
                    self.heard += self._tls.recv(65536)
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.called:
            waiter.callback(None)

    async def _more(self) -> None:
        from twisted.internet import reactor

        waiter: Deferred[None] = Deferred()
        self._waiter = waiter
        await waiter.addTimeout(PATIENCE, reactor)

    async def hears(self, end: bytes) -> bytes:
        """All that comes up to and with these octets."""
        while end not in self.heard:
            assert not self.lost, f"the server closed after {self.heard!r}"
            await self._more()
        heard, found, self.heard = self.heard.partition(end)
        return heard + found

    async def secured(self) -> None:
        """The handshake is done."""
        while not self._is_secured:
            assert not self.lost, "the server closed instead of shaking hands"
            await self._more()

    async def gone(self) -> bytes:
        """All that is still heard until the server has closed the connection."""
        while not self.lost:
            await self._more()
        return self.heard

    def cut(self) -> None:
        """Leave without a word: no close_notify."""
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]
