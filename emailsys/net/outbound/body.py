"""Body of an outbound message, sent in pieces as fast as the remote host reads it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.interfaces import LeaseUncertain
from emailsys.mail.reply import LEASE_UNCERTAIN, Reply
from emailsys.net.outbound.pending import PendingTransmission
from emailsys.wire.smtp.client import SMTPClientSession


def why_unsent(failure: Failure) -> Reply:
    """Return why the end of a body was not sent, from the exception of `BodyFlow.send`."""
    if failure.check(LeaseUncertain):
        return LEASE_UNCERTAIN
    return Reply(451, "4.3.0", "the message could not be read here to its end")


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
        @raise LeaseUncertain: the lease of the message has become uncertain. Its end was not sent.
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
            if not pending.transmission.may_end():
                raise LeaseUncertain()
            session.end_body()
