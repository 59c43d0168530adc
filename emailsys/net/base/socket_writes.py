"""Socket writes: prepare a transport, measure its progress, and wait until the kernel has all octets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer, IReactorTime, IReadWriteDescriptor, ITCPTransport
from twisted.internet.task import deferLater
from zope.interface import implementer

from emailsys.upstream import unsent

# Seconds between two checks of the octets that the kernel has not accepted yet.
_LOOK_AGAIN: Final = 0.05
# tcpi_bytes_acked in struct tcp_info (linux/tcp.h): what the peer has acknowledged so far.
_BYTES_ACKED: Final = struct.Struct("=Q")
_BYTES_ACKED_AT: Final = 120


@implementer(IPushProducer)
class OutputProducer:
    """Producer registered with the transport for the whole life of the connection."""

    __slots__ = ("pauseProducing", "resumeProducing")

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pauseProducing = pause
        self.resumeProducing = resume

    def stopProducing(self) -> None:
        """Called by the transport when the connection is lost; `connectionLost` follows."""


# Octets that the kernel accepts before it has sent those before them. This does not slow down a peer that reads. For a
# peer that does not read, the kernel would accept several megabytes of replies.
_MAX_UNSENT_IN_KERNEL: Final = 128 * 1024
# Octets of one call of send(2), with Twisted 128 KiB. A piece of a large message, stuffed, would take three calls, each
# of which hands the interpreter lock over.
_MAX_OCTETS_OF_A_WRITE: Final = 512 * 1024


def begin_writing(transport: Any) -> bool:
    """Prepare a new transport for writes of collected octets. Returns whether `write_at_once` supports it."""
    if not ITCPTransport.providedBy(transport):
        return False
    # Replies are already collected before they are written. Nagle's algorithm would delay the second write by 40 ms.
    transport.setTcpNoDelay(True)
    descriptor: Any = transport
    descriptor.SEND_LIMIT = _MAX_OCTETS_OF_A_WRITE
    tcp = getattr(transport, "socket", None)
    if tcp is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT_IN_KERNEL)
    return bool(IReadWriteDescriptor.providedBy(transport))


def progress(transport: Any) -> tuple[int, int]:
    """Return two numbers that change while the peer reads: octets unsent, and octets acknowledged (0 if unknown)."""
    acknowledged = 0
    tcp = getattr(transport, "socket", None)
    if tcp is not None and hasattr(socket, "TCP_INFO"):
        information = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED_AT + _BYTES_ACKED.size)
        if len(information) == _BYTES_ACKED_AT + _BYTES_ACKED.size:
            (acknowledged,) = _BYTES_ACKED.unpack_from(information, _BYTES_ACKED_AT)
    return unsent(transport), acknowledged


async def taken(transport: Any, clock: IReactorTime, gone: Callable[[], bool], heard: Callable[[], object]) -> None:
    """Wait until the kernel has accepted all octets, or the connection is lost.

    @param heard: called whenever the peer has read more.
    """
    before = progress(transport)
    while not gone() and before[0]:
        await deferLater(clock, _LOOK_AGAIN)
        now = before if gone() else progress(transport)
        if now != before:
            before = now
            heard()
