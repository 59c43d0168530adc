"""Tell what became of octets that a connection has written, and end it without taking back what the kernel has."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

# Seconds between two looks at what the kernel did not take yet.
_LOOK_AGAIN: Final = 0.05
# tcpi_bytes_acked in struct tcp_info (linux/tcp.h): what the peer has acknowledged so far.
_BYTES_ACKED: Final = struct.Struct("=Q")
_BYTES_ACKED_AT: Final = 120


@implementer(IPushProducer)
class Outflow:
    """What the transport tells to stop and go on: it is registered for the whole life of the connection."""

    __slots__ = ("pauseProducing", "resumeProducing")

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pauseProducing = pause
        self.resumeProducing = resume

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` follows."""


def unsent(transport: Any) -> int:
    """How many octets Twisted holds because the kernel did not take them yet; with TLS, as they were encrypted.

    0 where that is not known. A TLS layer gathers small writes until the reactor's next turn; those are not counted.
    """
    # A TLS layer hands what it does not know itself to the transport below it.
    held = getattr(transport, "dataBuffer", b"")
    return len(held) - getattr(transport, "offset", 0) + getattr(transport, "_tempDataLen", 0)


def progress(transport: Any) -> tuple[int, int]:
    """Something that changes while the peer reads: the octets unsent, and those acknowledged where that is known."""
    acknowledged = 0
    tcp = getattr(transport, "socket", None)
    if tcp is not None and hasattr(socket, "TCP_INFO"):
        information = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED_AT + _BYTES_ACKED.size)
        if len(information) == _BYTES_ACKED_AT + _BYTES_ACKED.size:
            (acknowledged,) = _BYTES_ACKED.unpack_from(information, _BYTES_ACKED_AT)
    return unsent(transport), acknowledged


async def taken(transport: Any, clock: IReactorTime, gone: Callable[[], bool], heard: Callable[[], object]) -> None:
    """Return once the kernel has all that was written, or the connection is gone.

    @param heard: called whenever the peer has read on.
    """
    before = progress(transport)
    while not gone() and before[0]:
        await deferLater(clock, _LOOK_AGAIN)
        now = before if gone() else progress(transport)
        if now != before:
            before = now
            heard()


class Farewell:
    """What follows loseConnection: the peer reads the rest, or the connection is aborted."""

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
        self._call: IDelayedCall
        self._wait()

    def cancel(self) -> None:
        """The connection is gone."""
        if self._call.active():
            self._call.cancel()

    def _wait(self) -> None:
        self._call = self._clock.callLater(self._patience, self._overdue, progress(self._transport))

    def _overdue(self, before: tuple[int, int]) -> None:
        now = progress(self._transport)
        if not now[0] and _close_below_tls(self._transport):
            return
        if now != before and self._clock.seconds() < self._until:
            # It reads what it asked for, slowly; an abort would take that back.
            self._wait()
        else:
            self._abort()


def _close_below_tls(transport: Any) -> bool:
    """Close the TCP connection without waiting for the peer's close_notify; the kernel sends what it has.

    @return: whether there was a TLS layer to go below.
    """
    # A listener with TLS from the first octet gives the layer itself; startTLS puts the layer behind the transport.
    layer = transport if hasattr(transport, "wrappedProtocol") else getattr(transport, "protocol", None)
    if layer is None or not hasattr(layer, "wrappedProtocol"):
        return False
    layer.transport.loseConnection()
    return True
