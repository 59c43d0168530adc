"""An SMTP session's standing: greeting, what EHLO offers, TLS, and who is logged in (RFC 3207, RFC 4954)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

from twisted.cred.credentials import Anonymous, ICredentials
from twisted.cred.error import LoginFailed
from twisted.mail import smtp
from typing_extensions import override

from emailsys.interfaces import IDelivery, LoginBusy, StoreError
from emailsys.mail import reply as replies
from emailsys.mail.envelope import Client
from emailsys.mail.ip import is_loopback
from emailsys.mail.reply import Reply
from emailsys.net.serving.authentication import Authentication
from emailsys.net.serving.connection import Connection
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.net.tls.server import describe
from emailsys.wire.sasl import Credentials, NeedsSecret
from emailsys.wire.smtp.server import Event, Session


class SMTPLogin(Connection[Event], smtp.ESMTP):
    """What a client may do on this connection, and as whom."""

    wire: Session
    delivery: Any

    def __init__(self, service: SMTPService, session: str) -> None:
        """@param session: the id that all log events of this session bear."""
        self.service = service
        self.session = session
        self.clock = service.clock
        self.turn = service.turn
        self.host = service.hostname
        self.first_timeout = service.settings.command_timeout
        self.close_timeout = service.settings.close_timeout
        self.handshake_timeout = service.handshake_timeout
        limits = service.settings
        self.wire = Session(limits.max_message_size, limits.max_recipients, limits.max_refusals, service.mechanisms)
        self.client = Client(session, "")
        self.delivery = None
        self.authenticated = False
        self._authentication = Authentication(service.portal, IDelivery, service.secrets)

    # Replies and events

    def reply(self, reply: Reply) -> None:
        """Put a reply behind those that go out together."""
        self.send(reply.encode())

    def event(self, name: str, /, **fields: object) -> None:
        """Log what happened, with the session's id."""
        self.service.telemetry.event(name, session=self.session, **fields)

    def speaker(self, smtputf8: bool) -> Client:
        """The client as it sends a message."""
        if not smtputf8:
            return self.client
        # RFC 6531 §4.3: UTF8SMTP, UTF8SMTPS, UTF8SMTPA, UTF8SMTPSA.
        return replace(self.client, protocol=f"UTF8{self.client.protocol.removeprefix('E')}")

    # Greeting and extensions

    @override
    def greet(self) -> None:
        self.client = replace(
            self.client,
            ip=self.peer_host,
            local_ip=str(getattr(self._transport.getHost(), "host", "")),
            tls=describe(self.transport) if self.secure else None,
        )
        self._set_doors()
        self.reply(replies.greeting(self.service.hostname))

    @property
    def may_log_in(self) -> bool:
        """Whether logins are allowed as a submission connection stands: passwords travel under TLS only."""
        return self.secure or (self.service.settings.plaintext_auth_on_loopback and is_loopback(self.client.ip))

    def _set_doors(self) -> None:
        """Which commands are closed to this client at the moment."""
        closed = self.wire.closed
        closed.clear()
        if self.secure:
            closed["STARTTLS"] = replies.TLS_TWICE
        elif self.service.context_factory is None:
            closed["STARTTLS"] = replies.TLS_UNAVAILABLE
        if self.service.kind is Kind.RECEIVE:
            closed["AUTH"] = replies.AUTH_NOT_HERE
        elif self.authenticated:
            closed["AUTH"] = replies.AUTH_TWICE
        elif self.may_log_in:
            closed["MAIL"] = replies.LOGIN_REQUIRED
        else:
            closed["MAIL"] = closed["AUTH"] = replies.TLS_REQUIRED

    @override
    def extensions(self) -> dict[bytes, list[bytes] | None]:
        # BINARYMIME is not among them: messages consist of lines.
        offered: dict[bytes, list[bytes] | None] = {
            b"PIPELINING": None,
            b"SIZE": [b"%d" % self.service.settings.max_message_size],
            b"8BITMIME": None,
            b"SMTPUTF8": None,
            b"ENHANCEDSTATUSCODES": None,
            b"CHUNKING": None,
            b"DSN": None,
            b"HELP": None,
        }
        if "STARTTLS" not in self.wire.closed:
            offered[b"STARTTLS"] = None
        if "AUTH" not in self.wire.closed:
            offered[b"AUTH"] = [name.encode() for name in self.service.mechanisms]
        return offered

    @override
    def listExtensions(self) -> bytes:
        return b"\n".join(b" ".join((name, *(words or ()))) for name, words in self.extensions().items())

    @abstractmethod
    def forget(self) -> None:
        """Forget the transaction, a message on its way too."""

    @override
    def do_EHLO(self, name: str) -> None:
        self.forget()
        self.client = replace(self.client, helo=name, protocol=self._protocol(extended=True))
        self.reply(replies.hello(self.service.hostname, tuple(self.listExtensions().decode("ascii").split("\n"))))

    @override
    def do_HELO(self, name: str) -> None:
        self.forget()
        self.client = replace(self.client, helo=name, protocol=self._protocol(extended=False))
        self.reply(replies.hello(self.service.hostname))

    def _protocol(self, extended: bool) -> str:
        """The transmission type of RFC 3848."""
        letters = ("S" if self.secure else "") + ("A" if self.authenticated else "")
        return f"ESMTP{letters}" if extended or letters else "SMTP"

    # TLS

    @override
    def ext_STARTTLS(self, rest: bytes) -> None:
        """RFC 3207 §4: nothing that came before TLS counts, neither what was said nor what waits to be read."""
        context_factory = self.service.context_factory
        assert context_factory is not None
        self.forget()
        self.log_out()
        dropped = self.wire.restart()
        if dropped:
            self.event("smtp.plaintext_dropped", octets=dropped)
        self.client = Client(self.session, self.client.ip, local_ip=self.client.local_ip)
        self.reply(replies.TLS_READY)
        self.start_tls(context_factory)

    @override
    def tls_began(self) -> None:
        self.client = replace(self.client, tls=describe(self.transport))
        self._set_doors()

    # Logins

    def log_out(self) -> None:
        """End the login, a stranger's too."""
        self.delivery = None
        self.authenticated = False
        self._authentication.log_out()

    async def _log_in(self, given: ICredentials | Credentials) -> bool:
        """Get the avatar for credentials. Returns False if the peer is already gone."""
        self.log_out()
        self.delivery = await self._authentication.log_in(given, self.client, lambda: not self.closing)
        return self.delivery is not None

    async def become_stranger(self) -> None:
        """Whoever says MAIL without a login is a stranger, where such may."""
        await self._log_in(Anonymous())

    @override
    async def ext_AUTH(self, step: Credentials | NeedsSecret) -> None:
        username = step.account if isinstance(step, NeedsSecret) else step.username
        try:
            if isinstance(step, NeedsSecret):
                self.wire.secret_found(await self._authentication.secret(step))
                return
            if not await self._log_in(step):
                return
        except LoginFailed:
            self._refuse_login(username)
        except (LoginBusy, StoreError) as error:
            self.event("smtp.login_delayed", ip=self.client.ip, why=type(error).__name__)
            self.reply(replies.LOGIN_BUSY if isinstance(error, LoginBusy) else replies.LOGIN_UNCHECKED)
        else:
            self.authenticated = True
            account = self.delivery.account
            self.client = replace(
                self.client,
                account=None if account is None else account.address,
                protocol=self._protocol(extended=True),
            )
            self._set_doors()
            self.event("smtp.login", ip=self.client.ip, account=self.client.account, tls=self.client.tls)
            self.reply(replies.LOGGED_IN)

    def _refuse_login(self, username: bytes) -> None:
        self.event("smtp.login_refused", ip=self.client.ip, user=username.decode("utf-8", "replace"))
        self.reply(replies.LOGIN_FAILED)
        if self._authentication.failed():
            self.reply(replies.TOO_MANY_LOGINS)
            self.close()
