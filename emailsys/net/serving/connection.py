"""Drive one server session: octets in, one command at a time, and every way it can begin and end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.net.base.coroutines import begin_and_tell
from emailsys.net.serving.closing import Farewell
from emailsys.net.serving.replies import MAX_WAITING_OCTETS, Outgoing

# Commands acted on in one turn of the reactor, so that a peer that pipelines thousands does not hold up the others.
_COMMANDS_A_TURN: Final = 200

EventT = TypeVar("EventT")
EventT_co = TypeVar("EventT_co", covariant=True)


class Wire(Protocol[EventT_co]):
    """A protocol session without I/O: octets become events."""

    @property
    def waiting(self) -> int:
        """Octets fed and not yet taken."""

    def feed(self, octets: bytes) -> None:
        """Take octets from the peer."""

    def next_event(self) -> EventT_co | None:
        """What the peer asks for next, None until more comes."""


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class Connection(Outgoing, Generic[EventT]):
    """A server's end of a connection. A subclass gives `wire` and `perform`, and says how it greets and times out.

    `perform` acts on one event at once and returns None, or returns a coroutine; the next event waits for its end.
    Replies given to `send` go out in one write when the input is used up, or when something is waited for, and with
    those of the other connections at the end of the reactor's turn. While the peer does not read, nothing is acted on.
    No octet of a TLS handshake or from before it reaches `wire`. A peer that ends its side is answered what it has
    asked for, then the connection ends.
    """

    wire: Wire[EventT]
    #: Seconds of silence before the first `setTimeout` of the subclass; a whole command counts as speech, octets don't.
    first_timeout: float = 300.0
    close_timeout: float = 5.0
    handshake_timeout: float = 30.0

    #: Whether it is being closed, or gone: nothing more is acted on.
    closing = False

    _busy = False
    _input_over = False
    _pumping = False
    _negotiating = False
    _implicit_tls = False
    _reading_paused = False
    _farewell: Farewell | None = None
    _handshake_call: IDelayedCall | None = None
    _next_turn: IDelayedCall | None = None

    # What a subclass says

    @abstractmethod
    def greet(self) -> None:
        """The connection is ready for the protocol's first words; with implicit TLS, after the handshake."""

    @abstractmethod
    def perform(self, event: EventT) -> Coroutine[Any, Any, None] | None:
        """Act on an event."""

    @abstractmethod
    def failed(self, failure: Failure) -> None:
        """`perform` raised, or its coroutine did: log it and answer. The connection may be lost."""

    @abstractmethod
    def timed_out(self) -> None:
        """The peer was silent for `timeOut` seconds: say so, then `close`; or `abort` if it does not read either."""

    @abstractmethod
    def tls_began(self) -> None:
        """The handshake that `start_tls` asked for is done."""

    @abstractmethod
    def ended(self, reason: Failure) -> None:
        """The connection is lost: let go of what the session holds."""

    # What a subclass uses

    @property
    def peer_host(self) -> str:
        """The peer's address in text form, "" where there is none (a Unix socket)."""
        transport: Any = self.transport
        return str(getattr(transport.getPeer(), "host", ""))

    def allow_silence(self, seconds: float) -> None:
        """The peer may be silent for so long, from the end of the command that is being acted on."""
        self.timeOut = seconds  # type: ignore[assignment]  # it takes any number

    def start_tls(self, context_factory: IOpenSSLServerConnectionCreator) -> None:
        """Write what was collected and begin the handshake. The caller has emptied `wire`."""
        self.flush()
        if self._input_over:
            # Nobody will shake hands; waiting for it would hold the connection for as long as a handshake may take.
            self.close()
            return
        self._await_handshake()
        self._transport.startTLS(context_factory)

    def close(self) -> None:
        """Write what was collected and end the connection; abort it when the peer does not read it in time.

        Time is `close_timeout` without progress, and with it as long as a session may be silent. What the peer still
        sends is read and dropped meanwhile.
        """
        if self.closing:
            return
        self.flush()
        self.closing = True
        most = self.timeOut or self.first_timeout
        self.setTimeout(None)
        self._resume_reading()
        self._transport.unregisterProducer()
        self._farewell = farewell = Farewell(self._transport, self.clock, self.close_timeout, most, self.abort)
        farewell.begin(tls=self.secure or self._negotiating, input_over=self._input_over)

    def hurry(self) -> None:
        """The daemon goes down: a connection that is being closed waits for its peer no longer than it must."""
        if self._farewell is not None:
            self._farewell.hurry()

    def abort(self) -> None:
        """End the connection now, whatever was not sent yet."""
        self.closing = True
        self.setTimeout(None)
        if not self.lost:
            self._transport.abortConnection()

    @property
    def busy(self) -> bool:
        """Whether a command is being acted on."""
        return self._busy

    # What the transport and the clock say

    @override
    def connectionMade(self) -> None:
        self._begin_sending()
        self.setTimeout(self.first_timeout)
        if ISSLTransport.providedBy(self.transport):
            self._implicit_tls = True
            self._await_handshake()
        else:
            self._speak(self.greet)

    def _speak(self, words: Callable[[], None]) -> None:
        try:
            words()
        except Exception:
            self.failed(Failure())
        self.flush()

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
        self.secure = True
        self.setTimeout(self.timeOut)
        self._speak(self.greet if self._implicit_tls else self.tls_began)

    @override
    def dataReceived(self, data: bytes) -> None:
        # RFC 3207 §4.2, RFC 2595 §4: what came in the clear after STARTTLS or STLS is not acted on.
        if self.closing or self._negotiating:
            if self._farewell is not None:
                self._farewell.drop(data)
            return
        self.wire.feed(data)
        self._pump()

    @override
    def unchoke(self) -> None:
        self._choked = False
        if self.closing:
            return
        self.resetTimeout()
        self._make_room()
        self._pump()

    def _pump(self) -> None:
        """Act on events until there are none, or one is waited for."""
        if self._pumping or self._busy:
            self._measure_input()
            return
        self._pumping = True
        used_up = False
        left = _COMMANDS_A_TURN
        try:
            while not (self._busy or self._choked or self.closing or self._negotiating):
                if not left:
                    self._take_turns()
                    break
                event = self.wire.next_event()
                if event is None:
                    used_up = True
                    if self._input_over:
                        self.close()
                    break
                left -= 1
                self._step(event)
        finally:
            self._pumping = False
        if left < _COMMANDS_A_TURN:
            self.resetTimeout()
        self.flush_soon()
        if used_up:
            # What still waits is the beginning of a command.
            self._resume_reading()
        else:
            self._measure_input()

    def _step(self, event: EventT) -> None:
        self._busy = True
        try:
            coroutine = self.perform(event)
            waits = coroutine is not None and begin_and_tell(coroutine, self._step_ended)
        except Exception:
            self._step_ended(Failure())
            return
        if not waits:
            self._busy = False
        elif self._busy:
            self.flush_soon()

    def _step_ended(self, failure: Failure | None) -> None:
        self._busy = False
        if failure is not None and not (self.lost and failure.check(ConnectionLost)):
            self.failed(failure)
        if not self._pumping and not self.lost:
            # The clock of a silent peer starts when it was answered.
            self.resetTimeout()
            self._pump()

    def _take_turns(self) -> None:
        if self._next_turn is None:
            self._next_turn = self.clock.callLater(0, self._turn_came)

    def _turn_came(self) -> None:
        self._next_turn = None
        self._pump()

    def _measure_input(self) -> None:
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
    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        return self.clock.callLater(period, func)

    @override
    def timeoutConnection(self) -> None:
        if self._negotiating:
            return
        if self._busy and not self.choked:
            # It waits for us, not we for it.
            self.setTimeout(self.timeOut)
            return
        self.timed_out()

    def readConnectionLost(self) -> None:
        """The peer sends no more, and may still read (shutdown(2)): it hears what it has asked for, then we close."""
        self._input_over = True
        if self._farewell is not None:
            self._farewell.input_over()
        elif self._negotiating:
            self.abort()
        else:
            self._pump()

    def writeConnectionLost(self) -> None:
        """Our side has ended, as `close` asked; the peer's is still to come."""

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self.closing = True
        self.setTimeout(None)
        if self._farewell is not None:
            self._farewell.cancel()
        for call in (self._handshake_call, self._next_turn):
            if call is not None and call.active():
                call.cancel()
        self._farewell = self._handshake_call = self._next_turn = None
        try:
            self.ended(reason)
        except Exception:
            self.failed(Failure())
        self._end_sending()
