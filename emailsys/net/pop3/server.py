"""POP3 server protocol and its factory: one Twisted protocol over a connection, a login and a maildrop (RFC 1939)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.mail import pop3
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.interfaces import MaildropLost, StoreDamaged, StoreError, StoreMissing
from emailsys.interfaces.wiretap import IWiretap
from emailsys.net.base.failures import why_lost
from emailsys.net.pop3.authorization_state import AuthorizationState
from emailsys.net.pop3.sending import TruncatedMessage
from emailsys.net.pop3.service import POP3Service
from emailsys.net.pop3.transaction import TAKEN_OVER, Transaction
from emailsys.net.serving.admission import RefusedConnection
from emailsys.net.serving.connection import Connection, peer_host
from emailsys.net.serving.eviction import Eviction
from emailsys.net.serving.session_ids import session_ids
from emailsys.net.serving.shell import ConnectionShell
from emailsys.upstream import never_reached
from emailsys.wire.lines import LineReader
from emailsys.wire.pop3.server import Command, Event, POP3Session, Refusal, Response

# RFC 3206 §4, RFC 2449 §8: clients act on these response codes.
_STORE_FAILED: Final = "[SYS/TEMP] the mail store cannot answer now; try again later"
_DAMAGED: Final = "[SYS/PERM] the message was damaged in the store and is not sent; tell your postmaster"
_UNEXPECTED: Final = "[SYS/TEMP] internal error; it was logged"

_MAKING_ROOM: Final = "[SYS/TEMP] too many connections; this one is closed, because it was silent before login"
# Seconds that a client was silent at least if a full pool ends its session in favour of another. Mail programs send
# their commands at once.
_LEAST_SILENCE: Final = 0.0


class POP3Server(ConnectionShell, pop3.POP3):
    """One POP3 session as a Twisted protocol, made by a POP3ServerFactory.

    The frame of twisted.mail's protocol is kept: the dispatch to `do_X`, `listCapabilities`, the portal and
    `pop3.IMailbox` of twisted.cred. `connection` does input, output and timing; `authorization` holds TLS and login;
    `transaction` acts on the open maildrop.
    """

    #: As registered with IANA.
    application_protocols = frozenset({b"pop3"})

    def __init__(
        self,
        service: POP3Service,
        session_id: str,
        sessions: set[POP3Server],
        connect: Callable[..., Connection[Event]] = Connection,
        lines: LineReader | None = None,
    ) -> None:
        """
        @param sessions: contains this session while it is connected.
        @param connect: makes the connection. @param lines: cuts the input into lines. Both may record it.
        """
        self.service = service
        self.wire = POP3Session(lines)
        self.connection = connect(
            self.wire,
            self,
            service.environment.clock,
            service.turn,
            first_timeout=service.settings.login_timeout,
            close_timeout=service.settings.close_timeout,
            handshake_timeout=service.environment.handshake_timeout,
        )
        self.authorization = AuthorizationState(service, session_id, self.wire, self.connection, self._logged_in)
        self.transaction = Transaction(self.authorization)
        self._sessions = sessions
        # Whether the connection does not count any more.
        self._left = False

    def _logged_in(self) -> None:
        self.transaction.summarize()

    @property
    def is_expendable(self) -> bool:
        """Whether the client has not logged in, and the server waits for its next command."""
        connection = self.connection
        return not (connection.busy or connection.closing or self.authorization.maildrop is not None)

    def evict(self) -> None:
        """End the session with -ERR, because others need the connection. It does not count any more."""
        self.authorization.event("pop3-closed", ip=self.connection.peer_host, why="room for others")
        self.authorization.refuse(_MAKING_ROOM)
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
        """Send the greeting."""
        self.authorization.greet()
        return None

    def perform(self, event: Event) -> Coroutine[Any, Any, None] | None:
        """Act on an event of the wire session."""
        login = self.authorization
        if login.maildrop is not None:
            login.maildrop.touch()
        if isinstance(event, Command):
            step: Coroutine[Any, Any, None] | None = getattr(self, f"do_{event.verb}")(*event.arguments)
            return step
        if isinstance(event, Response):
            return login.respond(event.line)
        assert isinstance(event, Refusal)
        login.refuse(event.text)
        if event.last:
            login.event("pop3-closed", ip=self.connection.peer_host, why=event.text)
            self.connection.close()
        return None

    def failed(self, failure: Failure) -> None:
        """Log a failure and reply to it."""
        login = self.authorization
        if self.connection.lost and failure.check(TruncatedMessage, MaildropLost, StoreError):
            # The client disconnected while a message was being sent.
            return
        if failure.check(TruncatedMessage):
            login.event("pop3-cut-short", why=failure.getErrorMessage())
            cause = failure.value.__cause__ if failure.value is not None else None
            if cause is not None and not isinstance(cause, StoreError | MaildropLost):
                self._log_unexpected(Failure(cause))
            self.connection.abort()
        elif failure.check(MaildropLost):
            login.event("pop3-taken-over")
            login.refuse(TAKEN_OVER)
            self.connection.close()
        elif failure.check(StoreMissing):
            # The daemon logs a missing store itself; a line for each login would hide it.
            login.refuse(_STORE_FAILED)
        elif failure.check(StoreDamaged):
            login.event("pop3-damaged", why=failure.getErrorMessage())
            login.refuse(_DAMAGED)
        elif failure.check(StoreError):
            login.event("pop3-store-failed", why=failure.getErrorMessage())
            login.refuse(_STORE_FAILED)
        else:
            self._log_unexpected(failure)
            login.refuse(_UNEXPECTED)

    def _log_unexpected(self, failure: Failure) -> None:
        self.service.environment.telemetry.exception("pop3-exception", failure, session=self.authorization.session_id)

    def timed_out(self) -> None:
        """End a session whose client was silent for too long, without the UPDATE state (RFC 1939 §3)."""
        login = self.authorization
        login.event("pop3-closed", ip=self.connection.peer_host, why="silence")
        if self.connection.is_blocked:
            self.connection.abort()
            return
        login.refuse("idle for too long; nothing was removed" if login.maildrop else "login timed out")
        self.connection.close()

    def tls_began(self) -> None:
        """Do nothing: there is no second greeting (RFC 2595 §4)."""

    def ended(self, reason: Failure) -> None:
        """Release what the session holds, and log its end."""
        login = self.authorization
        self._sessions.discard(self)
        self._leave()
        why = why_lost(reason)
        if why is not None:
            login.event("pop3-connection-failed", ip=self.connection.peer_host, why=why)
        if login.maildrop is not None:
            login.event("pop3-end", retrieved=self.transaction.retrieved)
        if not self.transaction.updating:
            # An UPDATE that has begun keeps the maildrop locked until its commit has ended.
            login.release()

    # The replies of twisted.mail's protocol

    @override
    def successResponse(self, message: bytes = b"") -> None:
        self.authorization.reply(message)

    @override
    def failResponse(self, message: bytes | str = b"") -> None:
        self.authorization.refuse(message)

    @override
    def sendLine(self, line: bytes) -> None:
        self.connection.send(line + b"\r\n")

    # AUTHORIZATION state

    @override
    def listCapabilities(self) -> list[bytes]:
        return self.authorization.capabilities()

    @override
    def do_CAPA(self) -> None:
        self.connection.send(b"+OK capabilities follow\r\n%b\r\n.\r\n" % b"\r\n".join(self.listCapabilities()))

    def do_STLS(self) -> None:
        """RFC 2595 §4."""
        self.authorization.start_tls()

    def do_UTF8(self) -> None:
        """RFC 6856 §2.1."""
        self.authorization.enable_utf8()

    @override
    def do_USER(self, user: bytes) -> None:
        self.authorization.user(user)

    @override
    def do_PASS(self, password: bytes) -> Coroutine[Any, Any, None]:
        return self.authorization.password(password)

    @override
    def do_AUTH(self, mechanism: bytes | None = None, initial: bytes | None = None) -> Coroutine[Any, Any, None] | None:
        return self.authorization.authenticate(mechanism, initial)

    # TRANSACTION state

    @override
    def do_STAT(self) -> Coroutine[Any, Any, None] | None:
        return self.transaction.stat()

    @override
    def do_LIST(self, number: int | None = None) -> Coroutine[Any, Any, None] | None:
        return self.transaction.list_sizes(number)

    @override
    def do_UIDL(self, number: int | None = None) -> Coroutine[Any, Any, None] | None:
        return self.transaction.list_uids(number)

    @override
    def do_RETR(self, number: int) -> Coroutine[Any, Any, None] | None:
        return self.transaction.retrieve(number)

    @override
    def do_TOP(self, number: int, lines: int) -> Coroutine[Any, Any, None] | None:
        return self.transaction.top(number, lines)

    @override
    def do_DELE(self, number: int) -> None:
        self.transaction.delete(number)

    @override
    def do_NOOP(self) -> None:
        self.successResponse()

    @override
    def do_RSET(self) -> Coroutine[Any, Any, None] | None:
        return self.transaction.reset()

    @override
    def do_QUIT(self) -> Coroutine[Any, Any, None] | None:
        if self.authorization.maildrop is not None:
            return self.transaction.update()
        self.successResponse(b"bye")
        self.connection.close()
        return None

    # Stock methods that would bypass the connection
    callLater = timeoutConnection = never_reached


class POP3ServerFactory(ServerFactory):
    """Factory of POP3 sessions. For implicit TLS (port 995) wrap it in a TLSMemoryBIOFactory."""

    protocol = POP3Server  # type: ignore[assignment]  # its sessions take arguments
    noisy = False

    def __init__(self, service: POP3Service, new_session: Callable[[], str] | None = None) -> None:
        """@param new_session: returns the id of each new session, which its log events carry."""
        self.service = service
        self.sessions: set[POP3Server] = set()
        self._eviction = Eviction(service.environment.clock, self.sessions, _LEAST_SILENCE)
        self._new_session = new_session if new_session is not None else session_ids()

    @override
    def buildProtocol(self, addr: IAddress | None) -> POP3Server | RefusedConnection:  # type: ignore[override]  # no TypeVar
        service, ip = self.service, str(getattr(addr, "host", ""))
        too_many = self._eviction.refusal(service.admission, ip)
        if too_many is not None:
            service.environment.telemetry.event("pop3-connection-refused", ip=ip, why=too_many.value)
            refusal = b"-ERR [SYS/TEMP] %b\r\n" % too_many.value.encode()
            return RefusedConnection(
                service.admission, refusal, service.environment.clock, service.settings.close_timeout
            )
        session_id = self._new_session()
        wiretap = service.environment.wiretap
        if wiretap is not None and wiretap.is_on:
            server = self._recorded(wiretap, session_id)
        else:
            server = POP3Server(service, session_id, self.sessions)
        server.factory = self  # type: ignore[assignment]  # upstream calls it None
        return server

    def _recorded(self, wiretap: IWiretap, session_id: str) -> POP3Server:
        """Returns a session whose parts tell the record of the connection."""
        # Imported here: a daemon that records nothing does without it.
        from emailsys.net.pop3.tapped import TappedTransaction
        from emailsys.net.serving.tapped import tapped_parts

        parts = tapped_parts(self.service.environment, wiretap, "pop3", session_id)
        service = replace(self.service, environment=parts.environment)
        server = POP3Server(service, session_id, self.sessions, parts.connect, parts.lines)
        server.transaction = TappedTransaction(parts.tap, server.authorization)
        return server

    def relieve(self, is_full: bool) -> None:
        """End silent sessions in favour of others, as `Eviction.relieve` does."""
        self._eviction.relieve(is_full)

    def drain(self) -> int:
        """End the idle sessions, without the UPDATE state. The daemon calls this until no session is left.

        A session whose client still reads a reply is not idle.

        @return: how many sessions are left.
        """
        return self._end_sessions(reading=False)

    def interrupt(self) -> int:
        """End all sessions without a command in progress, whose reply no other may interrupt.

        @return: how many sessions are left.
        """
        return self._end_sessions(reading=True)

    def _end_sessions(self, reading: bool) -> int:
        """@param reading: whether to end those, too, whose client still reads a reply."""
        for session in tuple(self.sessions):
            connection = session.connection
            connection.finish_closing()
            if not (connection.busy or connection.closing) and (reading or not connection.is_blocked):
                session.failResponse("[SYS/TEMP] the server is shutting down; nothing was removed")
                connection.close()
        return len(self.sessions)
