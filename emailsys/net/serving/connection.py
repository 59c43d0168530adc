"""Server connection: feeds input to a protocol machine, runs one command at a time, and handles every ending."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.net.base.coroutines import begin_and_tell
from emailsys.net.serving.closing import GracefulClose
from emailsys.net.serving.dialogue import Dialogue, ProtocolMachine
from emailsys.net.serving.replies import MAX_WAITING_OCTETS, ReplyBuffer
from emailsys.net.serving.silence import SilenceLimit
from emailsys.net.serving.turn_end import TurnEnd

# Commands run in one turn of the reactor, and in each following turn if there are more: peers that pipeline thousands
# delay the other connections by this many each.
_COMMANDS_A_TURN: Final = 200
_COMMANDS_A_FOLLOWING_TURN: Final = 20

EventT = TypeVar("EventT")


def peer_host(transport: Any) -> str:
    """Returns the peer's address as text, "" if it has none (a Unix socket)."""
    return str(getattr(transport.getPeer(), "host", ""))


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class Connection(Protocol, SilenceLimit, Generic[EventT]):
    """The server end of one connection.

    Octets go to `wire`, its events to `dialogue`, one at a time. Replies passed to `send` are written together when the
    input is used up or a command waits, with those of other connections at the end of the reactor's turn. While the
    peer does not read, no event is acted on. Octets of a TLS handshake, or from before it, never reach `wire`. If the
    peer ends its side, its earlier commands are still answered; then the connection is closed.
    """

    #: Whether the connection is being closed or is lost: no more events are acted on.
    closing = False

    _busy = False
    _input_over = False
    _pumping = False
    _negotiating = False
    _implicit_tls = False
    _reading_paused = False
    _graceful_close: GracefulClose | None = None
    _handshake_call: IDelayedCall | None = None
    _next_turn: IDelayedCall | None = None
    # A TCP, TLS or test transport, as in ReplyBuffer.
    _transport: Any

    def __init__(
        self,
        wire: ProtocolMachine[EventT],
        dialogue: Dialogue[EventT],
        clock: IReactorTime,
        turn: TurnEnd,
        *,
        first_timeout: float = 300.0,
        close_timeout: float = 5.0,
        handshake_timeout: float = 30.0,
    ) -> None:
        """All times are seconds.

        @param first_timeout: silence allowed before the first `setTimeout` or `allow_silence`. A whole command ends
            the silence, single octets do not.
        @param close_timeout: time without progress after which a closing connection is aborted.
        """
        self.wire = wire
        self.clock = clock
        self.replies = replies = ReplyBuffer(clock, turn)
        self.first_timeout = first_timeout
        self.close_timeout = close_timeout
        self.handshake_timeout = handshake_timeout
        self._dialogue = dialogue
        #: Append octets to the replies that are written together.
        self.send = replies.send
        #: Write the collected replies and wait until the transport accepts more.
        #: @raise ConnectionLost: the connection is lost.
        self.writable = replies.writable

    # For the session

    @property
    def lost(self) -> bool:
        """Whether the connection is lost: nothing can be sent, and no more input comes."""
        return self.replies.lost

    @property
    def secure(self) -> bool:
        """Whether TLS is active."""
        return self.replies.secure

    @property
    def is_blocked(self) -> bool:
        """Whether output waits for the peer to read."""
        return self.replies.is_blocked

    @property
    def is_negotiating(self) -> bool:
        """Whether a TLS handshake is in progress."""
        return self._negotiating

    @property
    def peer_host(self) -> str:
        """The peer's address as text, "" if it has none (a Unix socket)."""
        return peer_host(self.transport)

    @property
    def local_host(self) -> str:
        """Our address as text, "" if there is none (a Unix socket)."""
        return str(getattr(self._transport.getHost(), "host", ""))

    async def next_turn(self) -> None:
        """Wait for the reactor's next turn: a command that takes milliseconds lets other connections go on.

        @raise ConnectionLost: the connection was lost meanwhile.
        """
        await deferLater(self.clock, 0)
        if self.lost:
            raise ConnectionLost

    async def drained(self, heard: Callable[[], object]) -> None:
        """Write the collected replies and wait until the kernel has accepted all of them.

        The peer may pause for `timeOut` seconds at most.

        @param heard: called whenever the peer has read more.
        @raise ConnectionLost: the connection was lost first.
        """

        def progressed() -> None:
            self.resetTimeout()
            heard()

        await self.replies.drained(progressed)

    def start_tls(self, context_factory: IOpenSSLServerConnectionCreator) -> None:
        """Write the collected replies and begin the handshake. The caller has emptied `wire`."""
        self.replies.flush()
        if self._input_over:
            # The peer cannot complete a handshake. Waiting would hold the connection for `handshake_timeout`.
            self.close()
            return
        self._await_handshake()
        self._transport.startTLS(context_factory)

    def close(self) -> None:
        """Write the collected replies and close the connection; abort it if the peer does not read them in time.

        The time is `close_timeout` without progress, and in all as long as a session may be silent. Input from the
        peer is discarded meanwhile.
        """
        if self.closing:
            return
        self.replies.flush()
        self.closing = True
        most = self.timeOut or self.first_timeout
        self.setTimeout(None)
        self._resume_reading()
        self._transport.unregisterProducer()
        self._graceful_close = closing = GracefulClose(
            self._transport, self.clock, self.close_timeout, most, self.abort
        )
        closing.begin(tls=self.secure or self._negotiating, input_over=self._input_over)

    def finish_closing(self) -> None:
        """End a close that is in progress as soon as the kernel has all output: others need the connection."""
        if self._graceful_close is not None:
            self._graceful_close.close_if_sent()

    def close_at_once(self) -> None:
        """Write the collected replies and close the connection without waiting for the peer."""
        if self._negotiating or self.is_blocked:
            # The peer would not read the reply.
            self.abort()
        else:
            self.close()
            self.finish_closing()

    def abort(self) -> None:
        """End the connection immediately and discard unsent output."""
        self.closing = True
        self.setTimeout(None)
        # They would be written at the end of the turn, before the transport ends.
        self.replies.discard()
        if not self.lost:
            self._transport.abortConnection()

    @property
    def busy(self) -> bool:
        """Whether a command is in progress."""
        return self._busy

    # Callbacks of the transport and the clock

    @override
    def connectionMade(self) -> None:
        self._transport = self.transport
        self.replies.begin(self.transport, self.resume)
        self.setTimeout(self.first_timeout)
        if ISSLTransport.providedBy(self.transport):
            self._implicit_tls = True
            self._await_handshake()
        else:
            self._call_and_flush(self._dialogue.greet)

    def _call_and_flush(self, step: Callable[[], Coroutine[Any, Any, None] | None]) -> None:
        """Take a step that is no command. Commands wait for its end."""
        self._busy = True
        try:
            coroutine = step()
            self._busy = coroutine is not None and begin_and_tell(coroutine, self._event_done)
        except Exception:
            self._busy = False
            self._dialogue.failed(Failure())
        self.replies.flush()

    def _await_handshake(self) -> None:
        self._negotiating = True
        self._handshake_call = self.clock.callLater(self.handshake_timeout, self.abort)

    def handshakeCompleted(self) -> None:
        if self._handshake_call is not None and self._handshake_call.active():
            self._handshake_call.cancel()
        self._handshake_call = None
        if not self._negotiating or self.closing:
            return
        self._negotiating = False
        self.replies.secure = True
        self.setTimeout(self.timeOut)
        self._call_and_flush(self._dialogue.greet if self._implicit_tls else self._dialogue.tls_began)

    @override
    def dataReceived(self, data: bytes) -> None:
        # RFC 3207 §4.2, RFC 2595 §4: octets sent in the clear after STARTTLS or STLS are discarded.
        if self.closing or self._negotiating:
            if self._graceful_close is not None:
                self._graceful_close.drop(data)
            return
        self.wire.feed(data)
        self._pump()

    def resume(self) -> None:
        """Go on after a pause: the transport accepts output again."""
        self.replies.paused = False
        if self.closing:
            return
        self.resetTimeout()
        self.replies.resume()
        self._pump()

    def _pump(self, most: int = _COMMANDS_A_TURN, ended: bool = False) -> None:
        """Act on events until there are no more, or one has to wait, or the turn is over."""
        if self._pumping or self._busy or self._next_turn is not None:
            if ended:
                self.resetTimeout()
            self._limit_input()
            return
        self._pumping = True
        used_up = False
        left = most
        wire, replies = self.wire, self.replies
        try:
            while not (self._busy or replies.paused or self.closing or self._negotiating):
                if not left:
                    self._next_turn = self.clock.callLater(0, self._next_turn_came)
                    break
                event = wire.next_event()
                if event is None:
                    used_up = True
                    if self._input_over:
                        self.close()
                    break
                left -= 1
                self._act_on(event)
        finally:
            self._pumping = False
        if ended or left < most:
            self._heard_at = self.clock.seconds()
        replies.flush_soon()
        if used_up:
            # The octets left over are the beginning of a command.
            if self._reading_paused:
                self._resume_reading()
        else:
            self._limit_input()

    def _act_on(self, event: EventT) -> None:
        self._busy = True
        try:
            coroutine = self._dialogue.perform(event)
            waits = coroutine is not None and begin_and_tell(coroutine, self._event_done)
        except Exception:
            self._event_done(Failure())
            return
        if not waits:
            self._busy = False
        elif self._busy:
            self.replies.flush_soon()

    def _event_done(self, failure: Failure | None) -> None:
        self._busy = False
        if failure is not None and not (self.lost and failure.check(ConnectionLost)):
            self._dialogue.failed(failure)
        if not self._pumping and not self.lost:
            # The silence of the peer begins after its reply.
            self._pump(ended=True)

    def _next_turn_came(self) -> None:
        self._next_turn = None
        self._pump(_COMMANDS_A_FOLLOWING_TURN)

    def _limit_input(self) -> None:
        if self.wire.waiting > MAX_WAITING_OCTETS:
            if not (self._reading_paused or self.closing):
                self._reading_paused = True
                self._transport.pauseProducing()
        else:
            self._resume_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if not (self.lost or self._input_over):
                self._transport.resumeProducing()

    @override
    def silence_ended(self) -> None:
        if self._negotiating:
            return
        if self._busy and not self.is_blocked:
            # The peer waits for our reply.
            self.setTimeout(self.timeOut)
            return
        self._dialogue.timed_out()

    def readConnectionLost(self) -> None:
        """Answer the commands received, then close: the peer has ended its side and may still read (shutdown(2))."""
        self._input_over = True
        if self._graceful_close is not None:
            self._graceful_close.input_over()
        elif self._negotiating:
            self.abort()
        else:
            self._pump()

    def writeConnectionLost(self) -> None:
        """Do nothing: `close` has ended our side, and the peer's end is still to come."""

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.replies.lost = True
        self.closing = True
        self.setTimeout(None)
        if self._graceful_close is not None:
            self._graceful_close.cancel()
        for call in (self._handshake_call, self._next_turn):
            if call is not None and call.active():
                call.cancel()
        self._graceful_close = self._handshake_call = self._next_turn = None
        try:
            self._dialogue.ended(reason)
        except Exception:
            self._dialogue.failed(Failure())
        self.replies.end()
