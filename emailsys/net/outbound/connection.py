"""One outbound SMTP connection: handshake, time limits, and one transmission after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator, IReactorTime
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.mail.next_hop import ExpectedTLS, Host, NextHop, TLSPolicy
from emailsys.mail.reply import BROKEN_OFF, Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.base.failures import why
from emailsys.net.base.socket_writes import begin_writing
from emailsys.net.outbound import state as states
from emailsys.net.outbound.body import BodyFlow, why_unsent
from emailsys.net.outbound.owner import Owner
from emailsys.net.outbound.pending import PendingTransmission, PendingTransmissions
from emailsys.net.outbound.time_limits import ClientDeadline
from emailsys.net.tls.server import TLSConfigError, describe
from emailsys.upstream import write_at_once
from emailsys.wire.smtp import client_events
from emailsys.wire.smtp.client import SMTPClientSession
from emailsys.wire.smtp.client_events import Ready, Settled, Step, Unusable

#: Makes TLS for what a host must show.
TLSFor = Callable[[ExpectedTLS], IOpenSSLClientConnectionCreator]


@implementer(IHandshakeListener)
class SMTPClient(StreamProtocol):
    """Our end of a connection to another host. It asks its owner for transmissions until that has none left."""

    # A transport of TCP or TLS: twisted.internet.interfaces has no type for all attributes used here.
    # None before TCP is connected, and again after the connection is lost.
    _transport: Any = None
    _session_type: Callable[[str, str, bool], SMTPClientSession] = SMTPClientSession

    def __init__(
        self,
        owner: Owner[SMTPClient],
        clock: IReactorTime,
        settings: OutboundSettings,
        hostname: str,
        next_hop: NextHop,
        host: Host,
        tls_for: TLSFor,
    ) -> None:
        """@param hostname: our name in EHLO."""
        self._owner = owner
        self._next_hop = next_hop
        self._host = host
        self._tls_for = tls_for
        self._remote = str(host)
        self._session = self._session_type(hostname, self._remote, next_hop.lmtp)
        self._deadline = ClientDeadline(clock, settings, self._too_late)
        self._flow = BodyFlow(self._session, self._piece_said, self._deadline.read_on)
        self._transmissions = PendingTransmissions(settings.messages_per_connection, self._pump)
        self._state = states.State.OPENING
        self._settled = 0
        # None if no login is needed, and after it has succeeded.
        self._login = next_hop.login
        self._pumping = False
        self._writes_at_once = False
        self.offers: tuple[str, ...] = ()

    @property
    def tls(self) -> str:
        """TLS version and cipher suite, "" without TLS."""
        return self._session.tls

    @property
    def is_connected(self) -> bool:
        """Whether the socket is open."""
        return self._transport is not None

    @property
    def _is_idle(self) -> bool:
        return self._state is states.IDLE

    def _change(self, event: states.Event) -> None:
        self._state = states.after(self._state, event)

    # Calls from the owner

    def wake(self) -> None:
        """Fetch a waiting transmission, unless this connection is busy or accepts no more."""
        session, queue = self._session, self._transmissions
        if self._state not in states.TAKES_MAIL or session.ended or queue.next is not None or not queue.left:
            return
        pending = self._owner.next_transmission(self, ahead=not session.idle)
        if pending is not None:
            if self._is_idle:
                self._change(states.Event.WOKEN)
            queue.reserve(pending)
            self._pump()

    def retire(self) -> None:
        """Take no more transmissions; say QUIT when what is under way is done."""
        self._leave(states.Event.RETIRED)

    def shut_down(self) -> None:
        """Retire, and close the connection as soon as no complete message waits for its final reply."""
        self._leave(states.Event.SHUT_DOWN)
        self._abort_incomplete()

    def _leave(self, event: states.Event) -> None:
        self._transmissions.left = 0
        self._change(event)
        self._give_back_next()
        self._pump()

    def _abort_incomplete(self) -> None:
        session = self._session
        if self._transmissions.are_under_way and not (session.awaits_verdict or session.ended):
            self.abort(BROKEN_OFF)

    def close_soon_if_idle(self) -> None:
        """If idle, close the connection after a moment."""
        if self._is_idle:
            self._deadline.shorten_idle_time()

    def abort(self, reply: Reply) -> None:
        """Settle all transmissions in progress with that reply, and close the connection."""
        self._session.abandon(reply)
        self._pump()
        self._abort_transport()

    def drop(self, pending: PendingTransmission) -> None:
        """A transmission was cancelled, perhaps one of another connection."""
        if self._transmissions.next is pending:
            self._transmissions.take_back_next()
            self._pump()
        elif self._transmissions.has_begun(pending):
            self.abort(Reply(451, "4.3.2", "the attempt was given up here"))

    # Calls from the transport

    @override
    def connectionMade(self) -> None:
        self._transport = self.transport
        self._writes_at_once = begin_writing(self._transport)
        self._transport.registerProducer(self._flow, True)
        if self._next_hop.implicit_tls:
            self._start_tls()
        self._pump()

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._state is states.OVER:
            return
        self._session.feed(data)
        self._pump()

    def handshakeCompleted(self) -> None:
        if self._state is states.HANDSHAKE:
            self._change(states.Event.TLS_BEGAN)
            self._session.tls_began(describe(self._transport) or "TLS")
            self._pump()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._transport = None
        if self._state is states.HANDSHAKE:
            self._tls_failed(why(reason))
        step = self._session.step
        waited = "" if step is None else f" while {step.value} was awaited"
        waited = " while the message was sent" if step is Step.BODY else waited
        self._session.abandon(Reply(451, "4.4.2", f"connection to {self._remote} lost{waited}: {why(reason)}"))
        self._pump()
        self._end()
        self._deadline.clear()
        self._flow.lose()
        self._owner.closed(self)

    # Events of the session

    def _pump(self) -> None:
        """Handle events until there are none, then send the resulting commands."""
        if self._pumping:
            return
        self._pumping = True
        session = self._session
        try:
            while True:
                event = session.next_event()
                if event is not None:
                    self._act(event)
                elif not self._go_on():
                    break
        finally:
            self._pumping = False
        self._flush()
        self._arm()

    def _flush(self) -> None:
        octets = self._session.take()
        if not octets or self._transport is None:
            return
        if self._writes_at_once and not self._transport.TLS:
            write_at_once(self._transport, octets)
        else:
            self._transport.write(octets)

    def _act(self, event: client_events.Event) -> None:
        if isinstance(event, Settled):
            self._has_settled(event)
        elif isinstance(event, client_events.SendBody):
            self._send_body(event.transmission)
        elif isinstance(event, Ready):
            self._choose(event)
        elif isinstance(event, client_events.BeginTLS):
            self._start_tls()
        elif isinstance(event, client_events.LoggedIn):
            self._login = None
            self._become_usable()
        elif isinstance(event, Unusable):
            self._unusable(event)
        elif isinstance(event, client_events.Goodbye):
            self._end()
            self._hang_up()

    def _choose(self, ready: Ready) -> None:
        """After the reply to EHLO: start TLS, then log in, then send mail."""
        next_hop, self.offers = self._next_hop, ready.extensions.shown
        if not self.tls and next_hop.tls is not TLSPolicy.NONE and not self._owner.clear:
            if "STARTTLS" in ready.extensions:
                self._session.starttls()
                return
            if next_hop.insists_on_tls:
                said = f"mail for {next_hop} must go by TLS, and {self._remote} offers no STARTTLS"
                self._session.abandon(Reply(451, "4.7.10", said))
                return
        if (login := self._login) is not None:
            self._session.login(login.username, login.password, token=login.token, in_clear=login.in_clear)
            return
        self._become_usable()

    def _start_tls(self) -> None:
        self._flush()
        try:
            creator = self._tls_for(self._next_hop.expected_tls(self._host))
        except TLSConfigError as error:
            self._tls_failed(str(error))
            return
        self._change(states.Event.TLS_STARTED)
        self._transport.startTLS(creator)

    def _become_usable(self) -> None:
        self._change(states.Event.USABLE)
        self._owner.usable(self)

    def _unusable(self, event: Unusable) -> None:
        if self._state in states.UNPROVEN:
            kind = OutcomeKind.FAILED if event.permanent else OutcomeKind.DELAYED
            self._fail(kind, event.reply, event.from_remote, tls=event.tls_refused)
        self._end()
        self._hang_up()

    def _tls_failed(self, text: str) -> None:
        """The TLS handshake failed, here or at the remote host."""
        self._fail(OutcomeKind.DELAYED, Reply(451, "4.7.5", f"no TLS with {self._remote}: {text}"), False, tls=True)
        self._session.abandon(Reply(451, "4.7.5", "no TLS"))
        self._abort_transport()

    def _fail(self, kind: OutcomeKind, reply: Reply, from_remote: bool, tls: bool) -> None:
        """Report to the owner, once, that this connection will never be usable."""
        if self._state is not states.OVER:
            self._change(states.Event.ENDED)
            outcome = Outcome(kind, reply, self._remote, self.tls, from_remote, host_at_fault=True)
            self._owner.failed(self, outcome, tls)
            self._owner.gone(self)

    def _end(self) -> None:
        """No more transmissions: the next one goes back, and the owner forgets us."""
        if self._state is not states.OVER:
            self._change(states.Event.ENDED)
            self._owner.gone(self)
        self._give_back_next()

    def _give_back_next(self) -> None:
        pending = self._transmissions.take_back_next()
        if pending is not None:
            self._owner.give_back(pending)

    # PendingTransmissions

    def _go_on(self) -> bool:
        """Begin the next transmission if possible. Returns whether anything was begun."""
        session, transmissions = self._session, self._transmissions
        if self._state in states.UNPROVEN or self._state is states.OVER or not session.can_begin:
            return False
        pending = transmissions.next
        if pending is None and transmissions.left:
            pending = self._fetch(ahead=not session.idle)
        if pending is not None and pending.loaded:
            self._begin()
            return True
        if pending is None and session.idle:
            if not transmissions.left:
                session.quit()
                return True
            if not self._is_idle:
                self._change(states.Event.RAN_DRY)
                self._owner.has_nothing_to_do(self)
                # The owner may have called `wake` or `retire`.
                return not self._is_idle
        return False

    def _fetch(self, ahead: bool) -> PendingTransmission | None:
        pending = self._owner.next_transmission(self, ahead)
        if pending is not None:
            self._transmissions.reserve(pending)
        return pending

    def _begin(self) -> None:
        pending = self._transmissions.begin()
        # A body is sent without waiting only to a host that has just replied. If the host closed an idle connection,
        # only commands were sent, and the outcome is not in doubt.
        whole = pending.second is None and self._state is not states.WOKEN and pending.transmission.may_end()
        self._change(states.BEGAN)
        self._session.begin(pending.transmission, pending.first if whole else None)
        if self._transmissions.next is None and self._transmissions.left:
            # Its body is read while this one is being sent.
            self._fetch(ahead=True)

    def _send_body(self, transmission: Transmission) -> None:
        pending = self._transmissions.of(transmission)
        if pending.second is None and transmission.may_end():
            self._session.body(pending.first, last=True)
            self._session.end_body()
        else:
            _ = Deferred.fromCoroutine(self._stream(pending)).addErrback(self._stream_failed, pending)

    async def _stream(self, pending: PendingTransmission) -> None:
        await self._flow.send(pending)
        self._pump()

    def _piece_said(self) -> None:
        self._flush()
        self._arm()

    def _stream_failed(self, failure: Failure, pending: PendingTransmission) -> None:
        if self._session.ended or failure.check(ConnectionLost):
            return
        pending.failure = failure
        # A truncated message must not be completed by the final dot.
        self.abort(why_unsent(failure))

    def _has_settled(self, event: Settled) -> None:
        pending = self._transmissions.end(event.transmission)
        if event.untouched and self._settled and not pending.returned:
            # RFC 5321 §3.8: the host ended a session that had served before; this transmission only came too late.
            pending.returned = True
            pending.close()
            self._owner.give_back(pending)
            return
        self._settled += 1
        pending.settle(event.outcomes)
        if self._state is states.SHUTTING_DOWN:
            self._abort_incomplete()

    # Time

    def _arm(self) -> None:
        if self._transport is not None:
            self._deadline.arm(self._state, self._session)

    def _too_late(self) -> None:
        if self._state is states.HANDSHAKE:
            self._tls_failed("the handshake took too long")
        elif self._state is states.OVER or self._session.step is Step.QUIT:
            self._end()
            self._abort_transport()
        elif self._is_idle:
            self.retire()
        else:
            step = self._session.step or Step.BODY
            said = "the host does not read the message" if step is Step.BODY else f"{step.value} did not come"
            self.abort(Reply(451, "4.4.2", f"{self._remote}: {said} within {self._deadline.limits[step]:g} s"))

    # The end

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.unregisterProducer()
            self._transport.loseConnection()
            self._arm()

    def _abort_transport(self) -> None:
        if self._transport is not None:
            self._transport.abortConnection()
