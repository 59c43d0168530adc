"""Output buffer of a server connection: replies are written together, no faster than the peer reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from emailsys.net.base.socket_writes import OutputProducer, begin_writing, taken
from emailsys.net.serving.turn_end import TurnEnd
from emailsys.upstream import encrypt_at_once, write_at_once

# Octets of unread commands at which reading from the peer pauses, and of replies at which the buffer is written.
MAX_WAITING_OCTETS: Final = 64 * 1024


class ReplyBuffer:
    """The output of one connection.

    Replies passed to `send` are written together by `flush`, or at the end of the reactor's turn after `flush_soon`.
    A sender of more than the peer reads at once awaits `writable`.
    """

    def __init__(self, clock: IReactorTime, turn: TurnEnd) -> None:
        self._clock = clock
        self._turn = turn
        #: Whether the connection is lost: nothing can be sent any more.
        self.lost = False
        #: Whether the output is encrypted.
        self.secure = False
        #: Whether the transport has asked for a pause.
        self.paused = False
        self._draining = False
        self._can_write_at_once = False
        self._will_flush = False
        self._writable: Deferred[None] | None = None
        # A TCP, TLS or test transport: twisted.internet.interfaces has no name for all the methods used.
        self._transport: Any = None
        self._out: list[bytes] = []
        self._out_octets = 0

    def begin(self, transport: Any, resumed: Callable[[], None]) -> None:
        """Attach the transport of a new connection.

        @param resumed: called when the transport accepts output again.
        """
        self._transport = transport
        self._can_write_at_once = begin_writing(transport)
        transport.registerProducer(OutputProducer(self.pause, resumed), True)

    def send(self, octets: bytes) -> None:
        """Append octets to the replies that are written together."""
        if self.lost:
            return
        self._out.append(octets)
        self._out_octets += len(octets)
        if self._out_octets > MAX_WAITING_OCTETS:
            self.flush()

    def flush(self) -> None:
        """Write the collected replies."""
        if self._out:
            self._will_flush = False
            octets = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out = []
            self._out_octets = 0
            if not self._can_write_at_once:
                self._transport.write(octets)
            elif self.secure:
                encrypt_at_once(self._transport, octets)
            else:
                write_at_once(self._transport, octets)

    def flush_soon(self) -> None:
        """Write the collected replies at the end of the reactor's turn."""
        if self._out and not self._will_flush:
            if self._can_write_at_once:
                self._will_flush = True
                self._turn.at_end(self.flush)
            else:
                self.flush()

    async def writable(self) -> None:
        """Write the collected replies and wait until the transport accepts more.

        @raise ConnectionLost: the connection is lost.
        """
        self.flush()
        if self.lost:
            raise ConnectionLost
        if self.paused:
            self._writable = Deferred()
            await self._writable

    async def drained(self, progressed: Callable[[], object]) -> None:
        """Write the collected replies and wait until the kernel has accepted all of them.

        @param progressed: called whenever the peer has read more.
        @raise ConnectionLost: the connection was lost first.
        """
        self.flush()
        self._draining = True
        try:
            if self.secure:
                # The TLS layer gathers small writes until the next turn.
                await deferLater(self._clock, 0)
            await taken(self._transport, self._clock, lambda: self.lost, progressed)
        finally:
            self._draining = False
        if self.lost:
            raise ConnectionLost

    @property
    def is_blocked(self) -> bool:
        """Whether output waits for the peer to read."""
        return self.paused or self._draining

    def pause(self) -> None:
        """Stop sending: the transport's buffer is full."""
        self.paused = True

    def resume(self) -> None:
        """Let the sender that awaits `writable` go on."""
        waiting, self._writable = self._writable, None
        if waiting is not None:
            waiting.callback(None)

    def discard(self) -> None:
        """Drop the replies that are collected, but not written."""
        self._out = []
        self._out_octets = 0

    def end(self) -> None:
        """Drop the output. A sender that awaits `writable` gets ConnectionLost."""
        self.discard()
        waiting, self._writable = self._writable, None
        if waiting is not None:
            waiting.errback(Failure(ConnectionLost("the connection was lost")))
