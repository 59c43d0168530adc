"""Send replies together, as fast as the peer reads them and no faster."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure

from emailsys.net.base.socket_writes import Outflow, begin_writing, taken
from emailsys.net.serving.turn_end import Turn
from emailsys.upstream import write_at_once

# Octets that wait to be acted on before reading from the peer pauses, and replies that wait before they are written.
MAX_WAITING_OCTETS: Final = 64 * 1024


class Outgoing(Protocol, TimeoutMixin):
    """The half of a connection that speaks.

    Replies given to `send` go out in one write at `flush`, or at the end of the turn after `flush_soon`. What has more
    to say than the peer reads waits for `room`.
    """

    clock: IReactorTime
    turn: Turn

    #: Whether the connection is gone: nothing can be sent, nothing more will come.
    lost = False
    #: Whether what is sent is encrypted now.
    secure = False

    _choked = False
    _draining = False
    _writes_at_once = False
    _flushes_soon = False
    _room: Deferred[None] | None = None
    # A TCP transport, one of TLS, or a test's: twisted.internet.interfaces has no name for all that is asked of it.
    _transport: Any
    _out: list[bytes]
    _out_octets = 0

    def send(self, octets: bytes) -> None:
        """Put octets behind the replies that go out together."""
        if self.lost:
            return
        self._out.append(octets)
        self._out_octets += len(octets)
        if self._out_octets > MAX_WAITING_OCTETS:
            self.flush()

    def flush(self) -> None:
        """Write the replies that were collected."""
        if self._out:
            self._flushes_soon = False
            octets = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out = []
            self._out_octets = 0
            if self._writes_at_once and not self.secure:
                write_at_once(self._transport, octets)
            else:
                self._transport.write(octets)

    def flush_soon(self) -> None:
        """Write them at the end of the reactor's turn; at once where the transport gathers what it is given anyway."""
        if self._out and not self._flushes_soon:
            if self._writes_at_once and not self.secure:
                self._flushes_soon = True
                self.turn.at_end(self.flush)
            else:
                self.flush()

    async def room(self) -> None:
        """Write what was collected and wait until the transport wants more.

        @raise ConnectionLost: it never will.
        """
        self.flush()
        if self.lost:
            raise ConnectionLost
        if self._choked:
            self._room = Deferred()
            await self._room

    async def drained(self, heard: Callable[[], object]) -> None:
        """Write what was collected and wait until the kernel has all of it, `timeOut` seconds without progress at most.

        @param heard: called whenever the peer has read on.
        @raise ConnectionLost: it will not read it.
        """

        def progressed() -> None:
            self.resetTimeout()
            heard()

        self.flush()
        self._draining = True
        try:
            if self.secure:
                # The TLS layer gathers small writes until the next turn.
                await deferLater(self.clock, 0)
            await taken(self._transport, self.clock, lambda: self.lost, progressed)
        finally:
            self._draining = False
        if self.lost:
            raise ConnectionLost

    @property
    def choked(self) -> bool:
        """Whether the peer does not read what was sent."""
        return self._choked or self._draining

    # What the connection tells

    def _begin_sending(self) -> None:
        """The transport is there."""
        self._transport = self.transport
        self._out = []
        self._writes_at_once = begin_writing(self._transport)
        self._transport.registerProducer(Outflow(self.choke, self.unchoke), True)

    def _end_sending(self) -> None:
        """The transport is gone."""
        self._out = []
        waiting, self._room = self._room, None
        if waiting is not None:
            waiting.errback(Failure(ConnectionLost("the peer has gone")))

    def _make_room(self) -> None:
        waiting, self._room = self._room, None
        if waiting is not None:
            waiting.callback(None)

    def choke(self) -> None:
        """The peer does not read: send no more."""
        self._choked = True

    @abstractmethod
    def unchoke(self) -> None:
        """The peer reads again."""
