"""Write octets at once where the kernel takes them, and tell what became of those that a connection has written."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer, IReactorTime, IReadWriteDescriptor, ITCPTransport
from twisted.internet.task import deferLater
from zope.interface import implementer

from emailsys.upstream import unsent

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


def begin_writing(transport: Any) -> bool:
    """Prepare a new transport for writes of what belongs together; whether `write_at_once` may be used for it."""
    if not ITCPTransport.providedBy(transport):
        return False
    # We collect what belongs together ourselves; Nagle's algorithm would hold the second write for 40 ms.
    transport.setTcpNoDelay(True)
    return bool(IReadWriteDescriptor.providedBy(transport))


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
