"""AUTHORIZATION state of a POP3 session, before the login (RFC 1939 §4): CAPA, STLS, USER, PASS, AUTH (RFC 5034)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.cred.error import LoginFailed
from twisted.mail import pop3

from emailsys.interfaces import IMaildrop, LoginBusy, MaildropInUse, TooManyGuesses
from emailsys.mail.envelope import Client
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.connection import Connection
from emailsys.net.serving.session_login import SessionLogin
from emailsys.net.tls.server import describe
from emailsys.wire.pop3.server import Event, POP3Session
from emailsys.wire.sasl import (
    Challenge,
    Credentials,
    Exchange,
    NeedsSecret,
    SaslCancelled,
    SaslSyntaxError,
    Step,
    exchange_for,
)

# RFC 3206 §4: the client should ask its user for the password again.
_WRONG: Final = "[AUTH] wrong user name or password"

# RFC 3206 §4: the client keeps the password and tries again later.
_BUSY: Final = "[SYS/TEMP] too many logins wait; try again later"
_UNCHECKED: Final = "[SYS/TEMP] logins cannot be checked at the moment; try again later"
_TOO_MANY_GUESSES: Final = "[SYS/TEMP] too many failed logins from your network; try again later"


class AuthorizationState:
    """The session until its maildrop is open, and the login that holds the maildrop afterwards."""

    def __init__(
        self,
        service: POP3Service,
        session_id: str,
        wire: POP3Session,
        connection: Connection[Event],
        opened: Callable[[], object],
    ) -> None:
        """
        @param session_id: the id that all log events of this session carry.
        @param opened: called when the client has logged in, to send the reply.
        """
        self.service = service
        self.session_id = session_id
        self.wire = wire
        self.connection = connection
        #: The open maildrop, None before login and after it was released.
        self.maildrop: IMaildrop | None = None
        self._opened = opened
        self._exchange: Exchange | None = None
        self._login = SessionLogin(service.environment.portal, pop3.IMailbox, service.environment.secrets)

    def reply(self, text: bytes = b"") -> None:
        """Send +OK."""
        self.connection.send(b"+OK %b\r\n" % text if text else b"+OK\r\n")

    def refuse(self, text: bytes | str) -> None:
        """Send -ERR."""
        octets = text if isinstance(text, bytes) else text.encode("ascii", "backslashreplace")
        self.connection.send(b"-ERR %b\r\n" % octets)

    def event(self, name: str, /, **fields: object) -> None:
        """Log an event with the session's id."""
        self.service.environment.telemetry.event(name, session=self.session_id, **fields)

    def release(self) -> None:
        """Release the maildrop, once. Does nothing without a login."""
        self.maildrop = None
        self._login.log_out()

    def greet(self) -> None:
        """Send the greeting."""
        self.wire.secure = self.connection.secure
        # No timestamp: APOP needs plaintext passwords on the server, and clients use it as soon as one is offered.
        self.reply(b"%b POP3 server ready" % self.service.environment.hostname.encode("ascii", "replace"))

    # Capabilities and TLS

    @property
    def may_log_in(self) -> bool:
        """Whether USER and AUTH are allowed: only under TLS, or from where passwords in the clear are allowed."""
        return self.connection.secure or self.service.allows_plaintext_auth(self.connection.peer_host)

    @property
    def may_begin_tls(self) -> bool:
        """Whether STLS is allowed."""
        return (
            self.service.environment.context_factory is not None
            and not self.connection.secure
            and self.maildrop is None
        )

    def _refuse_without_tls(self) -> bool:
        if self.may_log_in:
            return False
        self.refuse("STLS first" if self.may_begin_tls else "not allowed without TLS")
        return True

    def capabilities(self) -> list[bytes]:
        """Returns the lines of CAPA for the current state."""
        # RFC 2449 §6, RFC 3206 §5, RFC 6856 §2. USER after UTF8: names and passwords may be UTF-8.
        capabilities = [
            b"TOP",
            b"UIDL",
            b"RESP-CODES",
            b"AUTH-RESP-CODE",
            b"PIPELINING",
            # RFC 2449 §6.7: the minimum retention, in days.
            b"EXPIRE %d" % int(self.service.expire_days) if self.service.expire_days else b"EXPIRE NEVER",
            b"LOGIN-DELAY 0",
        ]
        if self.may_log_in:
            capabilities += [b"USER", b"SASL " + " ".join(self.service.mechanisms).encode(), b"UTF8 USER"]
        else:
            capabilities.append(b"UTF8")
        if self.may_begin_tls:
            capabilities.append(b"STLS")
        return [*capabilities, b"IMPLEMENTATION emailsys"]

    def start_tls(self) -> None:
        """Act on STLS (RFC 2595 §4)."""
        if self.service.environment.context_factory is None:
            self.refuse("TLS is not available")
            return
        self.reply(b"begin TLS")
        dropped = self.wire.begin_tls()
        if dropped:
            self.event("pop3-plaintext-dropped", ip=self.connection.peer_host, octets=dropped)
        self.connection.start_tls(self.service.environment.context_factory)

    def enable_utf8(self) -> None:
        """Act on UTF8 (RFC 6856 §2.1)."""
        self.wire.utf8 = True
        self.reply(b"UTF8 enabled")

    # Login

    def user(self, name: bytes) -> None:
        """Act on USER. The reply does not reveal whether the account exists."""
        if self._refuse_without_tls():
            return
        self.wire.user = name
        self.reply(b"send PASS")

    def password(self, password: bytes) -> Coroutine[Any, Any, None]:
        """Act on PASS."""
        user, self.wire.user = self.wire.user or b"", None
        return self._log_in(Credentials(user, password))

    def authenticate(self, mechanism: bytes | None, initial: bytes | None) -> Coroutine[Any, Any, None] | None:
        """Act on AUTH (RFC 5034 §4). Without a mechanism it lists them."""
        if self._refuse_without_tls():
            return None
        if mechanism is None:
            names = "\r\n".join(self.service.mechanisms).encode()
            self.connection.send(b"+OK mechanisms follow\r\n%b\r\n.\r\n" % names)
            return None
        exchange = exchange_for(mechanism, self.service.mechanisms)
        if exchange is None:
            self.refuse("no such mechanism")
            return None
        return self._continue(exchange, lambda: exchange.start(initial))

    def respond(self, line: bytes) -> Coroutine[Any, Any, None] | None:
        """Act on the client's response to a challenge."""
        exchange, self._exchange = self._exchange, None
        self.wire.end_exchange()
        assert exchange is not None
        return self._continue(exchange, lambda: exchange.respond(line))

    def _continue(self, exchange: Exchange, next_step: Callable[[], Step]) -> Coroutine[Any, Any, None] | None:
        """Act on the next step of an authentication exchange."""
        try:
            step = next_step()
        except SaslCancelled:
            self.refuse("authentication cancelled")
        except SaslSyntaxError as error:
            self.refuse(str(error))
        else:
            if isinstance(step, Credentials):
                return self._log_in(step)
            if isinstance(step, NeedsSecret):
                return self._find_secret(exchange, step)
            assert isinstance(step, Challenge)
            self._exchange = exchange
            self.wire.begin_exchange()
            self.connection.send(b"+ %b\r\n" % step)
        return None

    async def _find_secret(self, exchange: Exchange, needed: NeedsSecret) -> None:
        secret = await self._login.secret(needed)
        following = None if self.connection.closing else self._continue(exchange, lambda: exchange.know(secret))
        if following is not None:
            await following

    async def _log_in(self, given: Credentials) -> None:
        user = given.username
        connection = self.connection
        protocol = "POP3S" if connection.secure else "POP3"
        mind = Client(self.session_id, connection.peer_host, protocol=protocol, tls=describe(connection.transport))
        try:
            maildrop = await self._login.log_in(given, mind, lambda: not connection.closing)
        except LoginFailed:
            self._refuse_login(user)
        except TooManyGuesses:
            self.event("pop3-login-busy", ip=mind.ip, why=TooManyGuesses.__name__)
            self._refuse(_TOO_MANY_GUESSES)
        except LoginBusy as error:
            self.event("pop3-login-busy", ip=mind.ip, why=type(error).__name__)
            self.refuse(_BUSY if type(error) is LoginBusy else _UNCHECKED)
        except MaildropInUse:
            self.event("pop3-in-use", ip=mind.ip, user=user.decode("utf-8", "replace"))
            self.refuse("[IN-USE] another session has the maildrop open")
        else:
            if maildrop is None:
                return
            self.maildrop = IMaildrop(maildrop)
            self.wire.log_in()
            connection.setTimeout(self.service.settings.session_timeout)
            self.event("pop3-login", ip=mind.ip, user=user.decode("utf-8", "replace"), protocol=protocol, tls=mind.tls)
            self._opened()

    def _refuse_login(self, user: bytes) -> None:
        self.event("pop3-login-refused", ip=self.connection.peer_host, user=user.decode("utf-8", "replace"))
        self._refuse(_WRONG)

    def _refuse(self, text: str) -> None:
        """Refuse a login, and close the connection after too many of them."""
        self.refuse(text)
        if self._login.failed():
            self.connection.close()
