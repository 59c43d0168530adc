"""An SMTP server session from greeting to end: each command to what acts on it, a reply for each (RFC 5321)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.mail import smtp
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.mail import reply as replies
from emailsys.net.serving.admission import TurnedAway
from emailsys.net.serving.session_ids import session_names
from emailsys.net.smtp.service import SMTPService
from emailsys.net.smtp.transaction import SMTPReception
from emailsys.upstream import NoStockDelivery, never_reached
from emailsys.wire.smtp.order import Stage
from emailsys.wire.smtp.server import Answer, Body, Command, Drop, Event


class ESMTPServer(NoStockDelivery, SMTPReception):
    """One SMTP session. Made by an ESMTPServerFactory.

    Of twisted.mail's protocol it keeps the frame: the dispatch to `do_X` and `ext_X`, `extensions`, `delivery` and its
    interface, the portal of twisted.cred. Input, order, timing, delivery and errors are ours.
    """

    def __init__(self, service: SMTPService, session: str, sessions: set[ESMTPServer]) -> None:
        """@param sessions: where it stands while it is connected."""
        super().__init__(service, session)
        self._sessions = sessions

    # The course of the session

    @override
    def connectionMade(self) -> None:
        self._sessions.add(self)
        self.service.admission.enter(self.peer_host)
        super().connectionMade()

    @override
    def perform(self, event: Event) -> Coroutine[Any, Any, None] | None:
        if self.is_late(event):
            self.leave_late_message()
            return None
        if isinstance(event, Command):
            step = self.lookupMethod(event.verb)(event.argument)
        elif isinstance(event, Body):
            step = self.take_body(event)
        else:
            assert isinstance(event, Answer | Drop)
            self.reply(event.reply)
            if isinstance(event, Drop):
                self.event("smtp.dropped", ip=self.client.ip, why=event.reply.text)
                self.close()
            return None
        return step

    @override
    def lookupMethod(self, command: str) -> Callable[[Any], Coroutine[Any, Any, None] | None]:
        """What acts on a verb. The session lets only verbs pass that are here."""
        found: Callable[[Any], Coroutine[Any, Any, None] | None] | None = getattr(self, f"do_{command}", None)
        return found if found is not None else getattr(self, f"ext_{command}")

    @override
    def failed(self, failure: Failure) -> None:
        reply = self.reply_to(failure)
        if self.wire.in_body:
            self.refuse_message(reply)
            return
        if self.wire.stage is Stage.GREETED:
            self.forget()
        self.reply(reply)

    @override
    def timed_out(self) -> None:
        self.event("smtp.timed_out", ip=self.client.ip)
        if self.choked:
            self.abort()
            return
        self.reply(replies.TIMED_OUT)
        self.close()

    def go_away(self) -> None:
        """The daemon goes down: say so, and close. Not to be called while a command is being acted on."""
        self.reply(replies.SHUTTING_DOWN)
        self.close()

    @override
    def ended(self, reason: Failure) -> None:
        self._sessions.discard(self)
        self.service.admission.leave(self.peer_host)
        self.forget()
        self.log_out()
        client = self.client
        self.event(
            "smtp.end",
            service=self.service.kind.value,
            # Not known yet where a handshake of TLS came to nothing.
            ip=client.ip or self.peer_host,
            helo=client.helo,
            accepted=self.accepted,
            refused=self.refused,
        )

    # The rest

    @override
    def do_RSET(self, rest: bytes) -> None:
        self.forget()
        self.reply(replies.FORGOTTEN)

    def do_NOOP(self, rest: bytes) -> None:
        """RFC 5321 §4.1.1.9."""
        self.reply(replies.NOTHING_DONE)

    def do_VRFY(self, rest: bytes) -> None:
        """RFC 5321 §3.5.3: answered, but who has a mailbox is not told."""
        self.reply(replies.NOT_VERIFIED)

    def do_HELP(self, rest: bytes) -> None:
        """RFC 5321 §4.1.1.8: the commands that are there for this client at the moment."""
        self.reply(replies.commands(name for name in ("STARTTLS", "AUTH") if name not in self.wire.closed))

    @override
    def do_QUIT(self, rest: bytes) -> None:
        self.reply(replies.CLOSING)
        self.close()

    # Stock ways that would bypass ours; the private ones are disabled by NoStockDelivery.
    lineReceived = lineLengthExceeded = dataLineReceived = sendLine = never_reached
    state_COMMAND = state_DATA = state_AUTH = never_reached
    do_UNKNOWN = sendSyntaxError = sendCode = greeting = never_reached


class ESMTPServerFactory(smtp.SMTPFactory):
    """Makes SMTP sessions. For implicit TLS (port 465) wrap it in a TLSMemoryBIOFactory: the sessions notice."""

    protocol = ESMTPServer  # type: ignore[assignment]  # its sessions take more than nothing
    noisy = False

    def __init__(self, service: SMTPService, new_session: Callable[[], str] | None = None) -> None:
        """@param new_session: gives each session the id that its log events bear."""
        super().__init__(service.portal)
        self.service = service
        self.domain = service.hostname.encode("ascii")
        self.timeout = int(service.settings.command_timeout)
        self.sessions: set[ESMTPServer] = set()
        self._new_session = new_session if new_session is not None else session_names()

    @override
    def buildProtocol(self, addr: IAddress | None) -> ESMTPServer | TurnedAway:
        service, ip = self.service, str(getattr(addr, "host", ""))
        too_many = service.admission.refusal(ip)
        if too_many is not None:
            service.telemetry.event("smtp.turned_away", service=service.kind.value, ip=ip, why=too_many.value)
            words = replies.too_many_connections(too_many.value).encode()
            return TurnedAway(service.admission, words, service.clock, service.settings.close_timeout)
        server = ESMTPServer(self.service, self._new_session(), self.sessions)
        server.factory = self
        server.portal = self.portal
        return server

    def drain(self) -> int:
        """The daemon goes down: end the sessions that do nothing at the moment.

        @return: how many sessions are left.
        """
        for session in tuple(self.sessions):
            session.hurry()
            if not (session.busy or session.closing or session.wire.in_body):
                session.go_away()
        return len(self.sessions)
