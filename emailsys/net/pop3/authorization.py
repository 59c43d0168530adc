"""A POP3 session until its maildrop is open: the AUTHORIZATION state (RFC 1939 §4, 2449, 2595, 5034)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from twisted.cred.error import LoginFailed
from twisted.cred.portal import Portal
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.mail import pop3
from typing_extensions import override

from emailsys.config.settings import POP3Settings
from emailsys.interfaces import IMaildrop, ISecrets, LoginBusy, MaildropInUse
from emailsys.mail.envelope import Client
from emailsys.mail.ip import is_loopback
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.authentication import Authentication
from emailsys.net.serving.connection import Connection
from emailsys.net.serving.turn_end import Turn
from emailsys.net.tls.server import describe
from emailsys.telemetry import Telemetry
from emailsys.wire.pop3.server import Event, POP3Session
from emailsys.wire.sasl import (
    MECHANISMS,
    Challenge,
    Credentials,
    Exchange,
    Mechanisms,
    NeedsSecret,
    SaslCancelled,
    SaslSyntaxError,
    Step,
    exchange_for,
)

# RFC 3206 §4: the client should ask its user again.
_WRONG: Final = "[AUTH] wrong user name or password"


@dataclass(frozen=True)
class POP3Service:
    """What all sessions of a POP3 service share.

    `portal` logs in UsernamePassword and ProvenName credentials of octets, with a Client as the mind, and gives for
    `pop3.IMailbox` an avatar that provides IMaildrop. `secrets` answers the SASL mechanisms that need a stored one;
    None gives them none. `hostname` is what the greeting says. `context_factory` is what
    STLS begins TLS with, None for no STLS. Times are seconds, but for `expire_days`: after so many days mail is
    deleted, 0 for never.
    """

    portal: Portal
    settings: POP3Settings
    clock: IReactorTime
    telemetry: Telemetry
    hostname: str
    context_factory: IOpenSSLServerConnectionCreator | None = None
    handshake_timeout: float = 30.0
    expire_days: float = 0.0
    admission: Admission = field(default_factory=Admission)
    secrets: ISecrets | None = None
    mechanisms: Mechanisms = field(default_factory=lambda: MECHANISMS)

    @cached_property
    def turn(self) -> Turn:
        """When its sessions speak."""
        return Turn(self.clock, self.telemetry)


class POP3Authorization(Connection[Event], pop3.POP3):
    """Greeting, capabilities, TLS and login."""

    wire: POP3Session
    mbox: Any

    def __init__(self, service: POP3Service, session: str) -> None:
        """@param session: the id that all log events of this session bear."""
        self.service = service
        self.clock = service.clock
        self.turn = service.turn
        self.first_timeout = service.settings.login_timeout
        self.close_timeout = service.settings.close_timeout
        self.handshake_timeout = service.handshake_timeout
        self.session = session
        self.wire = POP3Session()
        self.mbox = None
        self._exchange: Exchange | None = None
        self._authentication = Authentication(service.portal, pop3.IMailbox, service.secrets)

    # Replies

    @override
    def successResponse(self, message: bytes = b"") -> None:
        self.send(b"+OK %b\r\n" % message if message else b"+OK\r\n")

    @override
    def failResponse(self, message: bytes | str = b"") -> None:
        text = message if isinstance(message, bytes) else message.encode("ascii", "backslashreplace")
        self.send(b"-ERR %b\r\n" % text)

    @override
    def sendLine(self, line: bytes) -> None:
        self.send(line + b"\r\n")

    def let_go(self) -> None:
        """Release the maildrop, once."""
        self.mbox = None
        self._authentication.log_out()

    def event(self, name: str, /, **fields: object) -> None:
        """Log what happened, with the session's id."""
        self.service.telemetry.event(name, session=self.session, **fields)

    @override
    def greet(self) -> None:
        self.wire.secure = self.secure
        # No stamp: APOP needs passwords in the clear on the server, and clients take it as soon as they see one.
        self.successResponse(b"%b POP3 server ready" % self.service.hostname.encode("ascii", "replace"))

    # Before login

    @abstractmethod
    def logged_in(self) -> None:
        """The maildrop is open: say so."""

    @property
    def may_log_in(self) -> bool:
        """Whether USER and AUTH are allowed as the connection stands: passwords travel under TLS only."""
        return self.secure or (self.service.settings.plaintext_auth_on_loopback and is_loopback(self.peer_host))

    @property
    def may_begin_tls(self) -> bool:
        """Whether STLS is in order."""
        return self.service.context_factory is not None and not self.secure and self.mbox is None

    def _refuse_in_the_clear(self) -> bool:
        if self.may_log_in:
            return False
        self.failResponse("STLS first" if self.may_begin_tls else "not allowed without TLS")
        return True

    @override
    def listCapabilities(self) -> list[bytes]:
        # RFC 2449 §6, RFC 3206 §5, RFC 6856 §2. USER behind UTF8: names and passwords may be UTF-8.
        capabilities = [
            b"TOP",
            b"UIDL",
            b"RESP-CODES",
            b"AUTH-RESP-CODE",
            b"PIPELINING",
            # RFC 2449 §6.7: at least so many days.
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

    @override
    def do_CAPA(self) -> None:
        self.send(b"+OK capabilities follow\r\n%b\r\n.\r\n" % b"\r\n".join(self.listCapabilities()))

    def do_STLS(self) -> None:
        """RFC 2595 §4."""
        if self.service.context_factory is None:
            self.failResponse("TLS is not available")
            return
        self.successResponse(b"begin TLS")
        dropped = self.wire.begin_tls()
        if dropped:
            self.event("pop3.plaintext_dropped", octets=dropped)
        self.start_tls(self.service.context_factory)

    @override
    def tls_began(self) -> None:
        """RFC 2595 §4: no second greeting."""

    def do_UTF8(self) -> None:
        """RFC 6856 §2.1."""
        self.wire.utf8 = True
        self.successResponse(b"UTF8 enabled")

    @override
    def do_USER(self, user: bytes) -> None:
        if self._refuse_in_the_clear():
            return
        self.wire.user = user
        # The same for names that nobody has: who exists is not told.
        self.successResponse(b"now PASS")

    @override
    def do_PASS(self, password: bytes) -> Coroutine[Any, Any, None]:
        user, self.wire.user = self.wire.user or b"", None
        return self._log_in(Credentials(user, password))

    @override
    def do_AUTH(self, mechanism: bytes | None = None, initial: bytes | None = None) -> Coroutine[Any, Any, None] | None:
        if self._refuse_in_the_clear():
            return None
        if mechanism is None:
            self.send(b"+OK mechanisms follow\r\n%b\r\n.\r\n" % "\r\n".join(self.service.mechanisms).encode())
            return None
        exchange = exchange_for(mechanism, self.service.mechanisms)
        if exchange is None:
            self.failResponse("no such mechanism")
            return None
        return self._converse(exchange, lambda: exchange.start(initial))

    def respond(self, line: bytes) -> Coroutine[Any, Any, None] | None:
        """The client's next line of an AUTH that waits for it."""
        exchange, self._exchange = self._exchange, None
        self.wire.end_exchange()
        assert exchange is not None
        return self._converse(exchange, lambda: exchange.respond(line))

    def _converse(self, exchange: Exchange, go_on: Callable[[], Step]) -> Coroutine[Any, Any, None] | None:
        """One step of an authentication exchange."""
        try:
            step = go_on()
        except SaslCancelled:
            self.failResponse("authentication cancelled")
        except SaslSyntaxError as error:
            self.failResponse(str(error))
        else:
            if isinstance(step, Credentials):
                return self._log_in(step)
            if isinstance(step, NeedsSecret):
                return self._find_secret(exchange, step)
            assert isinstance(step, Challenge)
            self._exchange = exchange
            self.wire.begin_exchange()
            self.send(b"+ %b\r\n" % step)
        return None

    async def _find_secret(self, exchange: Exchange, needed: NeedsSecret) -> None:
        secret = await self._authentication.secret(needed)
        following = None if self.closing else self._converse(exchange, lambda: exchange.know(secret))
        if following is not None:
            await following

    async def _log_in(self, given: Credentials) -> None:
        user = given.username
        protocol = "POP3S" if self.secure else "POP3"
        mind = Client(self.session, self.peer_host, protocol=protocol, tls=describe(self.transport))
        try:
            maildrop = await self._authentication.log_in(given, mind, lambda: not self.closing)
        except LoginFailed:
            self._refuse_login(user)
        except LoginBusy:
            self.event("pop3.login_busy", ip=mind.ip)
            self.failResponse("[SYS/TEMP] too many logins wait; try again later")
        except MaildropInUse:
            self.event("pop3.in_use", ip=mind.ip, user=user.decode("utf-8", "replace"))
            self.failResponse("[IN-USE] another session has the maildrop open")
        else:
            if maildrop is None:
                return
            self.mbox = IMaildrop(maildrop)
            self.wire.log_in()
            self.setTimeout(self.service.settings.session_timeout)
            self.event("pop3.login", ip=mind.ip, user=user.decode("utf-8", "replace"), protocol=protocol, tls=mind.tls)
            self.logged_in()

    def _refuse_login(self, user: bytes) -> None:
        self.event("pop3.login_refused", ip=self.peer_host, user=user.decode("utf-8", "replace"))
        self.failResponse(_WRONG)
        if self._authentication.failed():
            self.close()
