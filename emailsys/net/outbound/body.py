"""Send the body of a message to another host piece by piece, as fast as that reads it and no faster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.net.outbound.pending import Errand
from emailsys.wire.smtp.client import SMTPClientSession


@implementer(IPushProducer)
class BodyFlow:
    """What the transport tells to stop and go on, for the whole life of a connection; one body at a time."""

    def __init__(self, session: SMTPClientSession, piece_said: Callable[[], None], read_on: Callable[[], None]) -> None:
        """
        @param piece_said: called when a piece can be written, and has its time.
        @param read_on: called when a host that did not read does so again, before the next piece.
        """
        self._session = session
        self._piece_said = piece_said
        self._read_on = read_on
        self._choked = False
        self._lost = False
        self._room: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        self._choked = True

    def resumeProducing(self) -> None:
        self._choked = False
        room, self._room = self._room, None
        if room is not None:
            self._read_on()
            room.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost; `lose` follows."""

    def lose(self) -> None:
        """The connection is gone: nobody waits for room any more."""
        self._lost = True
        room, self._room = self._room, None
        if room is not None:
            room.errback(Failure(ConnectionLost("the host has gone")))

    async def send(self, errand: Errand) -> None:
        """Say all of a body, or as much of it as the host wants.

        @raise ConnectionLost: the host has gone.
        @raise Exception: the body could not be read to its end, which was not said.
        """
        session = self._session
        async with aclosing(errand.pieces()) as pieces:
            async for piece in pieces:
                if session.ended or session.body_unwanted:
                    break
                session.body(piece)
                self._piece_said()
                if self._choked and not self._lost:
                    self._room = Deferred()
                    await self._room
        if session.body_unwanted:
            session.stop_body()
        elif not session.ended:
            session.end_body()
