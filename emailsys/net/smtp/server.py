"""SMTP server protocol and its factory: one Twisted protocol over a connection, a session and its transactions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.mail import smtp
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.interfaces.wiretap import IWiretap
from emailsys.mail import reply as replies
from emailsys.net.base.failures import why_lost
from emailsys.net.serving.admission import RefusedConnection
from emailsys.net.serving.connection import Connection, peer_host
from emailsys.net.serving.eviction import Eviction
from emailsys.net.serving.session_ids import session_ids
from emailsys.net.serving.shell import ConnectionShell
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.net.smtp.session import SMTPSession
from emailsys.net.smtp.transaction import Reception
from emailsys.upstream import NoStockDelivery, never_reached
from emailsys.wire.lines import LineReader
from emailsys.wire.sasl import Credentials, NeedsSecret
from emailsys.wire.smtp.grammar import Chunk, MailArguments, PasswordChange, RcptArguments
from emailsys.wire.smtp.order import OUT_OF_ORDER, Stage
from emailsys.wire.smtp.server import Session
from emailsys.wire.smtp.server_events import Answer, Body, Command, Drop, Event

# Seconds that a client was silent at least if a full pool ends its session in favour of another. Other servers may look
# something up between two commands; mail programs send theirs at once.
_LEAST_SILENCE: Final = {Kind.RECEIVE: 1.0, Kind.SUBMISSION: 0.0}
# The methods that carry out the commands, with the names of twisted.mail.
_EXTENSIONS: Final = frozenset({"STARTTLS", "AUTH", "XPASSWORD", "BDAT"})
_METHODS: Final = {verb: f"ext_{verb}" if verb in _EXTENSIONS else f"do_{verb}" for verb in OUT_OF_ORDER}


class ESMTPServer(NoStockDelivery, ConnectionShell, smtp.ESMTP):
    """One SMTP session as a Twisted protocol, made by an ESMTPServerFactory.

    The frame of twisted.mail's protocol is kept: the dispatch to `do_X` and `ext_X`, `extensions`, the delivery
    interface, and the portal of twisted.cred. `connection` does input, output and timing; `session` holds the client,
    TLS and login; `reception` carries out the transactions.
    """

    #: IANA had registered no name for SMTP in 2024; these are in use.
    application_protocols = frozenset({b"smtp", b"esmtp"})

    def __init__(
        self,
        service: SMTPService,
        session_id: str,
        sessions: set[ESMTPServer],
        connect: Callable[..., Connection[Event]] = Connection,
        lines: LineReader | None = None,
    ) -> None:
        """
        @param sessions: contains this session while it is connected.
        @param connect: makes the connection. @param lines: cuts the input into lines. Both may record it.
        """
        limits = service.settings
        self.host = service.environment.hostname
        self.service = service
        self.wire = Session(
            limits.max_message_size, limits.max_recipients, limits.max_refusals, service.mechanisms, lines
        )
        self.connection = connect(
            self.wire,
            self,
            service.environment.clock,
            service.turn,
            first_timeout=limits.command_timeout,
            close_timeout=limits.close_timeout,
            handshake_timeout=service.environment.handshake_timeout,
        )
        self.session = SMTPSession(service, session_id, self.wire, self.connection)
        self.reception = Reception(self.session)
        self._sessions = sessions
        # Whether the connection does not count any more.
        self._left = False

    @property
    def is_expendable(self) -> bool:
        """Whether the client has not logged in, and the server waits for its next command."""
        connection = self.connection
        return not (connection.busy or connection.closing or self.wire.in_body or self.session.is_authenticated)

    def evict(self) -> None:
        """End the session with 421, because others need the connection. It does not count any more."""
        session = self.session
        session.event("smtp-dropped", ip=self.connection.peer_host, why=replies.MAKING_ROOM.text)
        session.reply(replies.MAKING_ROOM)
        self._leave()
        self.connection.close_at_once()

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self.service.admission.leave(self.connection.peer_host)

    # The course of the session, called by the connection

    @override
    def connectionMade(self) -> None:
        self._sessions.add(self)
        self.service.admission.enter(peer_host(self.transport))
        super().connectionMade()

    def greet(self) -> Coroutine[Any, Any, None] | None:
        """Send the greeting, at once or in the coroutine returned."""
        return self.session.greet()

    def perform(self, event: Event) -> Coroutine[Any, Any, None] | None:
        """Act on an event of the wire session."""
        reception = self.reception
        if reception.began is not None and reception.is_late(event):
            reception.close_late_message()
            return None
        if isinstance(event, Command):
            return self.lookupMethod(event.verb)(event.argument)
        if isinstance(event, Body):
            return reception.take_body(event)
        assert isinstance(event, Answer | Drop)
        session = self.session
        session.reply(event.reply)
        if isinstance(event, Drop):
            session.event("smtp-dropped", ip=session.client.ip, why=event.reply.text)
            self.connection.close()
        return None

    @override
    def lookupMethod(self, command: str) -> Callable[[Any], Coroutine[Any, Any, None] | None]:
        """Returns the handler of an SMTP command. The wire session has already rejected unknown commands."""
        found: Callable[[Any], Coroutine[Any, Any, None] | None] = getattr(self, _METHODS[command])
        return found

    def failed(self, failure: Failure) -> None:
        """Reply to a failure. Within a message the reply is sent at the message's end."""
        reply = self.reception.reply_to(failure)
        if self.wire.in_body:
            self.reception.refuse_message(reply)
            return
        if self.wire.stage is Stage.GREETED:
            self.reception.abandon()
        self.session.reply(reply)

    def timed_out(self) -> None:
        """End a session whose client was silent for too long."""
        session, connection = self.session, self.connection
        session.event("smtp-timed-out", ip=session.client.ip)
        if connection.is_blocked:
            connection.abort()
            return
        session.reply(replies.TIMED_OUT)
        connection.close()

    def tls_began(self) -> None:
        """Continue after the handshake of STARTTLS."""
        self.session.tls_began()

    def shut_down(self) -> None:
        """Send 421 and close the connection. Call only while no command is in progress."""
        self.session.reply(replies.SHUTTING_DOWN)
        self.connection.close()

    def ended(self, reason: Failure) -> None:
        """Release what the session holds, and log its end."""
        session, reception = self.session, self.reception
        peer = self.connection.peer_host
        self._sessions.discard(self)
        self._leave()
        reception.abandon()
        session.greeting_wait.cancel()
        session.log_out()
        client = session.client
        why = why_lost(reason)
        if why is not None:
            session.event("smtp-connection-failed", ip=client.ip or peer, why=why)
        session.event(
            "smtp-end",
            service=self.service.kind.value,
            # The client has no address yet if the TLS handshake failed.
            ip=client.ip or peer,
            helo=client.helo,
            accepted=reception.accepted,
            refused=reception.refused,
        )

    # Greeting, TLS and login

    @override
    def extensions(self) -> dict[bytes, list[bytes] | None]:
        return self.session.extensions()

    @override
    def listExtensions(self) -> bytes:
        return b"\n".join(b" ".join((name, *(words or ()))) for name, words in self.extensions().items())

    @override
    def do_EHLO(self, name: str) -> Coroutine[Any, Any, None] | None:
        self.reception.abandon()
        return self.session.hello(name, extended=True)

    @override
    def do_HELO(self, name: str) -> Coroutine[Any, Any, None] | None:
        self.reception.abandon()
        return self.session.hello(name, extended=False)

    @override
    def ext_STARTTLS(self, rest: bytes) -> None:
        self.reception.abandon()
        self.session.start_tls()

    @override
    def ext_AUTH(self, step: Credentials | NeedsSecret) -> Coroutine[Any, Any, None]:
        return self.session.authenticate(step)

    def ext_XPASSWORD(self, change: PasswordChange) -> Coroutine[Any, Any, None]:
        """Change the password of the authenticated account."""
        return self.session.change_password(change)

    # Transactions

    @override
    def validateFrom(self, helo: Any, origin: Any) -> Any:
        return self.session.delivery.validateFrom(helo, origin)

    @override
    def validateTo(self, user: Any) -> Any:
        return self.session.delivery.validateTo(user)

    @override
    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        field: bytes = self.session.delivery.receivedHeader(helo, origin, recipients)
        return field

    @override
    def do_MAIL(self, arguments: MailArguments) -> Coroutine[Any, Any, None]:
        return self.reception.mail(arguments)

    @override
    def do_RCPT(self, arguments: RcptArguments) -> Coroutine[Any, Any, None]:
        return self.reception.rcpt(arguments)

    @override
    def do_DATA(self, rest: bytes) -> None:
        self.reception.data()

    def ext_BDAT(self, chunk: Chunk) -> None:
        """RFC 3030 §2."""
        self.reception.bdat()

    @override
    def do_RSET(self, rest: bytes) -> None:
        self.reception.abandon()
        self.session.reply(replies.FORGOTTEN)

    # Other commands

    def do_NOOP(self, rest: bytes) -> None:
        """RFC 5321 §4.1.1.9."""
        self.session.reply(replies.NOTHING_DONE)

    def do_VRFY(self, rest: bytes) -> None:
        """RFC 5321 §3.5.3: the reply does not reveal which mailboxes exist."""
        self.session.reply(replies.NOT_VERIFIED)

    def do_HELP(self, rest: bytes) -> None:
        """RFC 5321 §4.1.1.8: list the commands that this client may use at the moment."""
        self.session.reply(replies.commands(name for name in ("STARTTLS", "AUTH") if name not in self.wire.closed))

    @override
    def do_QUIT(self, rest: bytes) -> None:
        self.session.reply(replies.CLOSING)
        self.connection.close()

    # Stock methods that would bypass the connection and the wire session. NoStockDelivery disables the private ones.
    lineReceived = lineLengthExceeded = dataLineReceived = sendLine = never_reached
    state_COMMAND = state_DATA = state_AUTH = never_reached
    do_UNKNOWN = sendSyntaxError = sendCode = greeting = never_reached
    callLater = timeoutConnection = never_reached


class ESMTPServerFactory(smtp.SMTPFactory):
    """Factory of SMTP sessions. For implicit TLS (port 465) wrap it in a TLSMemoryBIOFactory."""

    protocol = ESMTPServer  # type: ignore[assignment]  # its sessions take arguments
    noisy = False

    def __init__(self, service: SMTPService, new_session: Callable[[], str] | None = None) -> None:
        """@param new_session: returns the id of each new session, which its log events carry."""
        super().__init__(service.environment.portal)
        self.service = service
        self.domain = service.environment.hostname.encode("ascii")
        self.timeout = int(service.settings.command_timeout)
        self.sessions: set[ESMTPServer] = set()
        self._eviction = Eviction(service.environment.clock, self.sessions, _LEAST_SILENCE[service.kind])
        self._new_session = new_session if new_session is not None else session_ids()

    @override
    def buildProtocol(self, addr: IAddress | None) -> ESMTPServer | RefusedConnection:
        service, ip = self.service, str(getattr(addr, "host", ""))
        too_many = self._eviction.refusal(service.admission, ip)
        if too_many is not None:
            service.environment.telemetry.event(
                "smtp-connection-refused", service=service.kind.value, ip=ip, why=too_many.value
            )
            refusal = replies.too_many_connections(too_many.value).encode()
            return RefusedConnection(
                service.admission, refusal, service.environment.clock, service.settings.close_timeout
            )
        session_id = self._new_session()
        wiretap = service.environment.wiretap
        if wiretap is not None and wiretap.is_on:
            server = self._recorded(wiretap, session_id)
        else:
            server = ESMTPServer(service, session_id, self.sessions)
        server.factory = self
        server.portal = self.portal
        return server

    def _recorded(self, wiretap: IWiretap, session_id: str) -> ESMTPServer:
        """Returns a session whose parts tell the record of the connection."""
        # Imported here: a daemon that records nothing does without it.
        from emailsys.net.serving.tapped import tapped_parts
        from emailsys.net.smtp.tapped import TappedIntake

        service = self.service
        parts = tapped_parts(service.environment, wiretap, service.kind.value, session_id)
        service = replace(service, environment=parts.environment, intake=TappedIntake(service.intake, parts.tap))
        return ESMTPServer(service, session_id, self.sessions, parts.connect, parts.lines)

    def relieve(self, is_full: bool) -> None:
        """End silent sessions, as `Eviction.relieve` does: another process has counted too many connections."""
        self._eviction.relieve(is_full)

    def drain(self) -> int:
        """End the idle sessions. The daemon calls this until no session is left.

        @return: how many sessions are left.
        """
        for session in tuple(self.sessions):
            connection = session.connection
            connection.finish_closing()
            is_busy = connection.busy and not session.session.greeting_wait.is_on
            if not (is_busy or connection.closing or session.wire.in_body):
                session.shut_down()
        return len(self.sessions)

    def interrupt(self) -> int:
        """End the sessions that receive a message, too, with 421. The rest of the message is read and discarded.

        A session that commits a message can still send its reply. The daemon calls this until no session is left.

        @return: how many sessions are left.
        """
        for session in tuple(self.sessions):
            if not (session.connection.busy or session.connection.closing):
                session.shut_down()
        return len(self.sessions)
