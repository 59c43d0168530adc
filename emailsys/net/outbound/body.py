"""Body of an outbound message, sent in pieces as fast as the remote host reads it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.net.outbound.pending import PendingTransmission
from emailsys.wire.smtp.client import SMTPClientSession


@implementer(IPushProducer)
class BodyFlow:
    """Producer registered with the transport for the whole life of a connection. Sends one body at a time."""

    def __init__(self, session: SMTPClientSession, piece_said: Callable[[], None], read_on: Callable[[], None]) -> None:
        """
        @param piece_said: called when a piece is ready to be written and its time limit begins.
        @param read_on: called when the host reads again after a pause, before the next piece.
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
        """Called by the transport when the connection is lost; `lose` follows."""

    def lose(self) -> None:
        """The connection is lost: end a wait for room with ConnectionLost."""
        self._lost = True
        room, self._room = self._room, None
        if room is not None:
            room.errback(Failure(ConnectionLost("the host has gone")))

    async def send(self, pending: PendingTransmission) -> None:
        """Send a whole body, or stop when the host refuses it.

        @raise ConnectionLost: the connection was lost.
        @raise Exception: the body could not be read completely. Its end was not sent.
        """
        session = self._session
        async with aclosing(pending.pieces()) as pieces:
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
