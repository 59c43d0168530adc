"""Closing a connection gracefully: the peer receives the last reply even if it reads slowly or is still sending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from emailsys.net.base.socket_writes import progress

# Input is read and discarded up to this size: enough for a client that pipelines past its QUIT, too little for a flood.
MAX_DROPPED_OCTETS: Final = 8 * 1024 * 1024
# Seconds for a close to take effect. It cannot while the kernel's own buffer is full.
_CLOSING_TAKES: Final = 0.1


class GracefulClose:
    """The end of one connection, from its last reply on.

    The kernel resets a socket that is closed with unread input, and a reset discards what the peer has not read yet
    (RFC 1122 §4.2.2.13). Therefore only our side is ended, and input is discarded until the peer ends its side. A TLS
    layer does the same: it sends close_notify and reads until the peer's close_notify.
    """

    def __init__(
        self, transport: Any, clock: IReactorTime, timeout: float, most: float, abort: Callable[[], object]
    ) -> None:
        """
        @param timeout: seconds without progress after which the connection is aborted.
        @param most: seconds in total.
        """
        self._transport = transport
        self._clock = clock
        self._timeout = timeout
        self._until = clock.seconds() + most
        self._abort = abort
        self._dropped = 0
        self._closed = False
        self._call: IDelayedCall
        self._wait(self._timeout)

    def begin(self, *, tls: bool, input_over: bool) -> None:
        """End our side of the connection.

        @param tls: whether there is a TLS layer, even if its handshake is not complete.
        @param input_over: whether the peer has already ended its side.
        """
        if tls:
            self._transport.loseConnection()
            if input_over:
                # RFC 8446 §6.1: a peer that has ended its side has sent its close_notify, or never will.
                self._close()
        elif input_over:
            self._close()
        else:
            self._transport.loseWriteConnection()

    def drop(self, octets: bytes) -> None:
        """Discard input from the peer."""
        self._dropped += len(octets)
        if self._dropped > MAX_DROPPED_OCTETS:
            self._abort()

    def input_over(self) -> None:
        """Close: the peer has ended its side, so a close can no longer cause a reset."""
        self._close()

    def close_if_sent(self) -> None:
        """Close now if the kernel has all output: the daemon drains and does not wait for the peer."""
        if not progress(self._transport)[0]:
            self._close()

    def cancel(self) -> None:
        """Stop the timer: the connection is lost."""
        if self._call.active():
            self._call.cancel()

    def _wait(self, seconds: float) -> None:
        self._call = self._clock.callLater(seconds, self._overdue, progress(self._transport))

    def _overdue(self, before: tuple[int, int]) -> None:
        now = progress(self._transport)
        if not now[0] and not self._closed:
            # The kernel goes on sending after the close. An abort would discard its output.
            self._wait(_CLOSING_TAKES)
            self._close()
        elif now != before and self._clock.seconds() < self._until:
            # The peer reads, slowly.
            self._wait(self._timeout)
        else:
            self._abort()

    def _close(self) -> None:
        """Close the TCP connection without waiting for close_notify. The kernel sends the output that it has."""
        self._closed = True
        transport = self._transport
        # With implicit TLS the transport is the TLS layer itself. After startTLS the layer is the transport's protocol.
        layer = transport if hasattr(transport, "wrappedProtocol") else getattr(transport, "protocol", None)
        below = transport if layer is None or not hasattr(layer, "wrappedProtocol") else layer.transport
        below.loseConnection()
