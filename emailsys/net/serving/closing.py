"""End a connection so that its peer still gets our last words, be it reading slowly or still sending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from emailsys.net.base.socket_writes import progress

# What a peer still sends is read and dropped up to here: a few segments of a client that pipelines past its QUIT, not a
# flood.
MAX_DROPPED_OCTETS: Final = 8 * 1024 * 1024
# Seconds in which a close comes about, if it can: where the kernel's own buffer is full it cannot.
_CLOSING_TAKES: Final = 0.1


class Farewell:
    """What follows the last reply.

    A socket that is closed with octets unread is reset by the kernel, and a reset takes back what the peer has not read
    yet (RFC 1122 §4.2.2.13). So our side alone is ended; what the peer still sends is dropped until it ends its side.
    With TLS the layer does the same: it says close_notify and reads on until the peer's.
    """

    def __init__(
        self, transport: Any, clock: IReactorTime, patience: float, most: float, abort: Callable[[], object]
    ) -> None:
        """
        @param patience: seconds without progress.
        @param most: seconds in all.
        """
        self._transport = transport
        self._clock = clock
        self._patience = patience
        self._until = clock.seconds() + most
        self._abort = abort
        self._dropped = 0
        self._closed = False
        self._call: IDelayedCall
        self._wait(self._patience)

    def begin(self, *, tls: bool, input_over: bool) -> None:
        """End our side.

        @param tls: whether a TLS layer is there, its handshake done or not.
        @param input_over: whether the peer has ended its side already.
        """
        if tls:
            self._transport.loseConnection()
            if input_over:
                # RFC 8446 §6.1: a peer that ended its side has said its close_notify, or never will.
                self._close()
        elif input_over:
            self._close()
        else:
            self._transport.loseWriteConnection()

    def drop(self, octets: bytes) -> None:
        """The peer still sends."""
        self._dropped += len(octets)
        if self._dropped > MAX_DROPPED_OCTETS:
            self._abort()

    def input_over(self) -> None:
        """The peer has ended its side: nothing is left that a close could reset."""
        self._close()

    def hurry(self) -> None:
        """The daemon goes down: wait no longer for a peer that the kernel has everything for."""
        if not progress(self._transport)[0]:
            self._close()

    def cancel(self) -> None:
        """The connection is gone."""
        if self._call.active():
            self._call.cancel()

    def _wait(self, seconds: float) -> None:
        self._call = self._clock.callLater(seconds, self._overdue, progress(self._transport))

    def _overdue(self, before: tuple[int, int]) -> None:
        now = progress(self._transport)
        if not now[0] and not self._closed:
            # The kernel goes on without us; an abort would take back what it has.
            self._wait(_CLOSING_TAKES)
            self._close()
        elif now != before and self._clock.seconds() < self._until:
            # It reads what it asked for, slowly.
            self._wait(self._patience)
        else:
            self._abort()

    def _close(self) -> None:
        """Close the TCP connection, a peer's close_notify or not; the kernel sends what it has."""
        self._closed = True
        transport = self._transport
        # A listener with TLS from the first octet gives the layer itself; startTLS puts the layer behind the transport.
        layer = transport if hasattr(transport, "wrappedProtocol") else getattr(transport, "protocol", None)
        below = transport if layer is None or not hasattr(layer, "wrappedProtocol") else layer.transport
        below.loseConnection()
