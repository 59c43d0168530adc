"""Drive one connection to another host: its handshake, its time limits, and one message after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IOpenSSLClientConnectionCreator, IReactorTime
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.mail.next_hop import Host, NextHop, TLSPolicy
from emailsys.mail.reply import BROKEN_OFF, Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.client_owner import Owner
from emailsys.net.deadline import Deadline, limits
from emailsys.net.errand import Errand
from emailsys.net.loss import why
from emailsys.net.outflow import begin_writing, write_at_once
from emailsys.net.smtp_body import BodyFlow
from emailsys.net.tls import TLSConfigError, describe
from emailsys.wire.client_events import (
    BeginTLS,
    Event,
    Goodbye,
    LoggedIn,
    Ready,
    SendBody,
    Settled,
    Step,
    Unusable,
)
from emailsys.wire.smtp_client_session import SMTPClientSession

#: TLS to the host of that name or address, with its certificate verified or not.
TLSFor = Callable[[str, bool], IOpenSSLClientConnectionCreator]

# Seconds that an idle connection is kept when nothing more waits for its next hop.
_HURRIED: Final = 2.0


@implementer(IHandshakeListener)
class SMTPClient(StreamProtocol):
    """Our end of a connection to another host. It asks its owner for errands until that has none left."""

    # A TCP transport, one of TLS, or a test's: twisted.internet.interfaces has no name for all that is asked of it.
    _transport: Any

    def __init__(
        self,
        owner: Owner,
        clock: IReactorTime,
        settings: OutboundSettings,
        hostname: str,
        next_hop: NextHop,
        host: Host,
        tls_for: TLSFor,
    ) -> None:
        """@param hostname: what we call ourselves in EHLO."""
        self._owner = owner
        self._settings = settings
        self._limits = limits(settings.timeouts)
        self._next_hop = next_hop
        self._host = host
        self._tls_for = tls_for
        self._remote = str(host)
        self._session = SMTPClientSession(hostname, self._remote)
        self._flow = BodyFlow(self._session, self._piece_said, self._read_on)
        self._deadline = Deadline(clock, self._too_late)
        self._errands: dict[int, Errand] = {}
        self._next: Errand | None = None
        self._begun = 0
        self._settled = 0
        self._is_usable = False
        self._logged_in = False
        self._negotiating = False
        self._awaited: tuple[object, ...] | None = None
        self._pumping = False
        self._writes_at_once = False
        self._retiring = False
        self._winding_up = False
        self._idle = False
        self._is_wary = False
        self._over = False
        self._lost = False
        self.offers: tuple[str, ...] = ()

    @property
    def tls(self) -> str:
        """TLS version and suite, "" in the clear."""
        return self._session.tls

    # What the owner says

    def give(self, errand: Errand) -> None:
        """Do that next; only while `wants_more`."""
        self._is_wary, self._idle = self._idle, False
        self._reserve(errand)
        self._pump()

    @property
    def wants_more(self) -> bool:
        """Whether an errand may be given."""
        if not self._is_usable or self._over or self._session.ended:
            return False
        return self._next is None and not self._at_its_end

    @property
    def _at_its_end(self) -> bool:
        return self._retiring or self._begun >= self._settings.messages_per_connection

    def retire(self) -> None:
        """Take no more errands; say QUIT when what is under way is done."""
        self._retiring = True
        self._idle = False
        self._give_back_next()
        self._pump()

    def wind_up(self) -> None:
        """As `retire`; and hang up as soon as no whole message waits for the reply to its end."""
        self._winding_up = True
        self.retire()
        self._hang_up_wound_up()

    def _hang_up_wound_up(self) -> None:
        session = self._session
        if self._errands and not (session.awaits_verdict or session.ended):
            self.abort(BROKEN_OFF)

    def hurry(self) -> None:
        """Being idle, wait no longer than a moment."""
        if self._idle:
            self._deadline.set(min(_HURRIED, self._settings.idle_timeout))

    def abort(self, reply: Reply) -> None:
        """Settle all that is under way for that reason, and hang up."""
        self._session.abandon(reply)
        self._pump()
        self._abort_transport()

    def drop(self, errand: Errand) -> None:
        """An errand was cancelled."""
        if self._next is errand:
            self._next = None
            errand.close()
            self._pump()
        elif id(errand.transmission) in self._errands:
            self.abort(Reply(451, "4.3.2", "the attempt was given up here"))

    # What the transport says

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
        if self._over:
            return
        self._session.feed(data)
        self._pump()

    def handshakeCompleted(self) -> None:
        if self._negotiating:
            self._negotiating = False
            self._session.tls_began(describe(self._transport) or "TLS")
            self._pump()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = True
        if self._negotiating:
            self._tls_failed(why(reason))
        step = self._session.step
        waited = "" if step is None else f" while {step.value} was awaited"
        if step is Step.BODY:
            waited = " while the message was sent"
        self._session.abandon(Reply(451, "4.4.2", f"connection to {self._remote} lost{waited}: {why(reason)}"))
        self._pump()
        self._end()
        self._deadline.clear()
        self._flow.lose()
        self._owner.closed(self)

    # What the session says

    def _pump(self) -> None:
        """Act on events until there are none, then send what came of it."""
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
        if not octets or self._lost:
            return
        if self._writes_at_once and not self._transport.TLS:
            write_at_once(self._transport, octets)
        else:
            self._transport.write(octets)

    def _act(self, event: Event) -> None:
        if isinstance(event, Settled):
            self._has_settled(event)
        elif isinstance(event, SendBody):
            self._send_body(event.transmission)
        elif isinstance(event, Ready):
            self._choose(event)
        elif isinstance(event, BeginTLS):
            self._start_tls()
        elif isinstance(event, LoggedIn):
            self._logged_in = True
            self._become_usable()
        elif isinstance(event, Unusable):
            self._unusable(event)
        elif isinstance(event, Goodbye):
            self._end()
            self._hang_up()

    def _choose(self, ready: Ready) -> None:
        """EHLO was answered: TLS, then a login, then mail."""
        next_hop, self.offers = self._next_hop, ready.extensions.shown
        if not self.tls and next_hop.tls is not TLSPolicy.NONE and not self._owner.clear:
            if "STARTTLS" in ready.extensions:
                self._session.starttls()
                return
            if next_hop.tls.insists:
                said = f"mail for {next_hop} must go by TLS, and {self._remote} offers no STARTTLS"
                self._session.abandon(Reply(451, "4.7.10", said))
                return
        if (login := next_hop.login) is not None and not self._logged_in:
            self._session.login(login.username, login.password, token=login.token, in_clear=login.in_clear)
            return
        self._become_usable()

    def _start_tls(self) -> None:
        self._flush()
        name = self._next_hop.certificate_name or self._host.name or self._host.address
        try:
            creator = self._tls_for(name, self._next_hop.tls is TLSPolicy.VERIFIED)
        except TLSConfigError as error:
            self._tls_failed(str(error))
            return
        self._negotiating = True
        self._transport.startTLS(creator)

    def _become_usable(self) -> None:
        self._is_usable = True
        self._owner.usable(self)

    def _unusable(self, event: Unusable) -> None:
        if not self._is_usable and not self._over:
            kind = OutcomeKind.FAILED if event.permanent else OutcomeKind.DELAYED
            self._fail(kind, event.reply, event.from_remote, tls=event.tls_refused)
        self._end()
        if not self._lost:
            self._hang_up()

    def _tls_failed(self, text: str) -> None:
        """The handshake came to nothing, at whichever end."""
        self._negotiating = False
        self._fail(OutcomeKind.DELAYED, Reply(451, "4.7.5", f"no TLS with {self._remote}: {text}"), False, tls=True)
        self._session.abandon(Reply(451, "4.7.5", "no TLS"))
        self._abort_transport()

    def _fail(self, kind: OutcomeKind, reply: Reply, from_remote: bool, tls: bool) -> None:
        """Tell the owner that this connection is not going to be of use; once."""
        if not self._over:
            self._over = True
            outcome = Outcome(kind, reply, self._remote, self.tls, from_remote, host_at_fault=True)
            self._owner.failed(self, outcome, tls)
            self._owner.gone(self)

    def _end(self) -> None:
        """No more errands: the next one goes back, and the owner forgets us."""
        if not self._over:
            self._over = True
            self._owner.gone(self)
        self._give_back_next()

    def _give_back_next(self) -> None:
        errand, self._next = self._next, None
        if errand is not None:
            errand.close()
            self._owner.give_back(errand)

    # Errands

    def _go_on(self) -> bool:
        """Begin what can begin now; whether anything was begun."""
        session = self._session
        if not self._is_usable or self._over or not session.can_begin:
            return False
        errand = self._next
        if errand is None and not self._at_its_end:
            errand = self._owner.next_errand(self, ahead=not session.idle)
            if errand is not None:
                self._reserve(errand)
        if errand is not None and errand.loaded:
            self._next = None
            self._begin(errand)
            return True
        if errand is None and session.idle:
            if self._at_its_end:
                session.quit()
                return True
            if not self._idle:
                self._idle = True
                self._owner.has_nothing_to_do(self)
                return self._next is not None
        return False

    def _reserve(self, errand: Errand) -> None:
        errand.holder = self
        self._next = errand
        errand.load(self._loaded)

    def _loaded(self, errand: Errand) -> None:
        if errand.failure is not None:
            self._next = None
            errand.settle(self._unreadable(errand))
        self._pump()

    def _unreadable(self, errand: Errand) -> list[Outcome]:
        reply = Reply(451, "4.3.0", f"the message could not be read here{errand.why_not_loaded}")
        return [Outcome(OutcomeKind.DELAYED, reply)] * len(errand.transmission.recipients)

    def _begin(self, errand: Errand) -> None:
        self._begun += 1
        self._idle = False
        self._errands[id(errand.transmission)] = errand
        # Unasked, a body goes only to a host that has just spoken: if it closed an idle connection meanwhile, nothing
        # but commands were sent, and there is no doubt.
        whole = errand.second is None and not self._is_wary
        self._is_wary = False
        self._session.begin(errand.transmission, errand.first if whole else None)
        if self._next is None and not self._at_its_end:
            # Its body is read while this one is on its way.
            following = self._owner.next_errand(self, ahead=True)
            if following is not None:
                self._reserve(following)

    def _send_body(self, transmission: Transmission) -> None:
        errand = self._errands[id(transmission)]
        if errand.second is None:
            self._session.body(errand.first, last=True)
            self._session.end_body()
        else:
            _ = Deferred.fromCoroutine(self._stream(errand)).addErrback(self._stream_failed)

    async def _stream(self, errand: Errand) -> None:
        await self._flow.send(errand)
        self._pump()

    def _piece_said(self) -> None:
        self._flush()
        self._arm()

    def _read_on(self) -> None:
        # The host reads: the time for the next block begins.
        self._awaited = None

    def _stream_failed(self, failure: Failure) -> None:
        if self._session.ended or failure.check(ConnectionLost):
            return
        # A message that was cut off must not be ended by a dot.
        self.abort(Reply(451, "4.3.0", "the message could not be read here to its end"))

    def _has_settled(self, event: Settled) -> None:
        errand = self._errands.pop(id(event.transmission))
        if event.untouched and self._settled and not errand.returned:
            # RFC 5321 §3.8: the host ended a session that had served before; this errand only came too late.
            errand.returned = True
            errand.close()
            self._owner.give_back(errand)
            return
        self._settled += 1
        errand.settle(event.outcomes)
        if self._winding_up:
            self._hang_up_wound_up()

    # Time

    def _arm(self) -> None:
        """Set the deadline for what is awaited now, unless that was done: half a reply buys no time."""
        session = self._session
        awaited = (self._negotiating, session.step, session.progress, self._over, self._idle)
        if awaited == self._awaited or self._lost:
            return
        self._awaited = awaited
        step = Step.HANDSHAKE if self._negotiating else session.step
        if step is not None:
            self._deadline.set(self._limits[step])
        elif self._over:
            self._deadline.set(self._limits[Step.QUIT])
        elif self._idle:
            self._deadline.set(self._settings.idle_timeout)
        else:
            self._deadline.pause()

    def _too_late(self) -> None:
        if self._negotiating:
            self._tls_failed("the handshake took too long")
        elif self._over or self._session.step is Step.QUIT:
            self._end()
            self._abort_transport()
        elif self._idle:
            self.retire()
        else:
            step = self._session.step or Step.BODY
            said = "the host does not read the message" if step is Step.BODY else f"{step.value} did not come"
            self.abort(Reply(451, "4.4.2", f"{self._remote}: {said} within {self._limits[step]:g} s"))

    # The end

    def _hang_up(self) -> None:
        self._transport.unregisterProducer()
        self._transport.loseConnection()
        self._arm()

    def _abort_transport(self) -> None:
        if not self._lost:
            self._transport.abortConnection()
