"""SMTP session: the client, its TLS and login, the extensions offered and the commands open (RFC 3207, RFC 4954)."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from twisted.cred.credentials import Anonymous, ICredentials
from twisted.cred.error import LoginFailed

from emailsys.config.settings import EarlyTalker
from emailsys.interfaces import IDelivery, ISessionChecks, LoginBusy, StoreError, TooManyGuesses
from emailsys.mail import reply as replies
from emailsys.mail.envelope import Client
from emailsys.mail.reply import Reply
from emailsys.net.serving.connection import Connection
from emailsys.net.serving.session_login import SessionLogin
from emailsys.net.smtp.greeting import GreetingWait, has_input
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.net.tls.server import describe
from emailsys.wire.sasl import Credentials, NeedsSecret
from emailsys.wire.smtp.body import BodyRules
from emailsys.wire.smtp.grammar import PasswordChange
from emailsys.wire.smtp.server import Session
from emailsys.wire.smtp.server_events import Event


class SMTPSession:
    """The state of a session apart from its transactions."""

    def __init__(self, service: SMTPService, session_id: str, wire: Session, connection: Connection[Event]) -> None:
        """@param session_id: the id that all log events of this session carry."""
        self.service = service
        self.session_id = session_id
        self.wire = wire
        self.connection = connection
        self.client = Client(session_id, "")
        #: The IDelivery avatar of the client: that of its login, or the anonymous one after MAIL. None before.
        self.delivery: Any = None
        self.is_authenticated = False
        self.greeting_wait = GreetingWait(service.environment.clock)
        #: None if no plugin checks the mail of this service.
        self.checks: ISessionChecks | None = None
        self._login = SessionLogin(service.environment.portal, IDelivery, service.environment.secrets)

    def reply(self, reply: Reply) -> None:
        """Append a reply to those that are written together."""
        self.connection.send(reply.encode())

    def event(self, name: str, /, **fields: object) -> None:
        """Log an event with the session's id."""
        self.service.environment.telemetry.event(name, session=self.session_id, **fields)

    def sender_of(self, smtputf8: bool) -> Client:
        """Returns the client as the sender of a message, with the message's transmission type."""
        if not smtputf8:
            return self.client
        # RFC 6531 §4.3: UTF8SMTP, UTF8SMTPS, UTF8SMTPA, UTF8SMTPSA.
        return replace(self.client, protocol=f"UTF8{self.client.protocol.removeprefix('E')}")

    # Greeting and extensions

    def greet(self) -> Coroutine[Any, Any, None] | None:
        """Send the greeting, at once or in the coroutine returned. A client that talks before it may be refused."""
        connection = self.connection
        self.client = replace(
            self.client,
            ip=connection.peer_host,
            local_ip=connection.local_host,
            tls=describe(connection.transport) if connection.secure else None,
        )
        self.update_closed_commands()
        settings = self.service.settings
        is_known = self.service.kind is Kind.SUBMISSION or self.service.is_trusted(connection.peer_host)
        # A notice to a forged sender is an attack on its owner: only clients that are held to account may request one.
        self.wire.not_offered = frozenset() if is_known else frozenset({"DSN"})
        self.wire.body_rules = BodyRules(
            settings.max_message_size, is_known or settings.accept_nul, is_known or settings.accept_long_lines
        )
        if self.service.checks is not None:
            is_trusted = self.service.is_trusted(connection.peer_host)
            self.checks = self.service.checks.begin(self.service.kind.value, is_trusted)
            return self._greet_if_allowed(self.checks)
        return self._greet_after_wait()

    async def _greet_if_allowed(self, checks: ISessionChecks) -> None:
        refusal = await checks.connected(self.client)
        if self.connection.closing:
            return
        if refusal is not None:
            self.event("refused", ip=self.client.ip, reply=f"{refusal.code} {refusal.enhanced}")
            self.reply(refusal)
            self.connection.close()
        elif (waiting := self._greet_after_wait()) is not None:
            await waiting

    def _greet_after_wait(self) -> Coroutine[Any, Any, None] | None:
        settings, connection = self.service.settings, self.connection
        if self.service.kind is Kind.RECEIVE and not self.service.admission.is_exempt(connection.peer_host):
            if settings.greeting_wait:
                # What the client says meanwhile waits in the wire session.
                return self.greeting_wait.then(
                    settings.greeting_wait, lambda: self._greet(talked=self.wire.waiting > 0)
                )
            # What the client says while a check is asked has been read already.
            self._greet(talked=self.wire.waiting > 0 or has_input(connection.transport))
        else:
            self._greet(talked=False)
        return None

    def _greet(self, talked: bool) -> None:
        """@param talked: whether the client has talked already."""
        if self.connection.closing:
            return
        if talked:
            action = self.service.settings.early_talker
            self.event("smtp-early-talker", ip=self.client.ip, action=action.value)
            if action is EarlyTalker.REFUSE:
                self.reply(replies.EARLY_TALKER)
                self.connection.close()
                return
        self.reply(replies.greeting(self.service.environment.hostname))

    @property
    def may_log_in(self) -> bool:
        """Whether a submission client may log in: only under TLS, or from where passwords in the clear are allowed."""
        return self.connection.secure or self.service.allows_plaintext_auth(self.client.ip)

    def update_closed_commands(self) -> None:
        """Tell the wire session which commands to refuse at the moment."""
        closed = self.wire.closed
        closed.clear()
        if self.service.kind is Kind.RECEIVE:
            closed["XPASSWORD"] = replies.NOT_IMPLEMENTED
        elif not self.is_authenticated:
            closed["XPASSWORD"] = replies.LOGIN_REQUIRED
        if self.connection.secure:
            closed["STARTTLS"] = replies.TLS_TWICE
        elif self.service.environment.context_factory is None:
            closed["STARTTLS"] = replies.TLS_UNAVAILABLE
        if self.service.kind is Kind.RECEIVE:
            closed["AUTH"] = replies.AUTH_NOT_HERE
        elif self.is_authenticated:
            closed["AUTH"] = replies.AUTH_TWICE
        elif self.may_log_in:
            if not self._may_submit:
                closed["MAIL"] = replies.LOGIN_REQUIRED
        else:
            closed["AUTH"] = replies.TLS_REQUIRED
            if not self._may_submit:
                closed["MAIL"] = replies.TLS_REQUIRED

    @property
    def _may_submit(self) -> bool:
        """Whether a submission client may send without a login."""
        return self.service.settings.trusted_may_submit and self.service.is_trusted(self.client.ip)

    def extensions(self) -> dict[bytes, list[bytes] | None]:
        """Returns the extensions that EHLO offers, by keyword, with their arguments."""
        # BINARYMIME is not offered: messages consist of lines.
        offered: dict[bytes, list[bytes] | None] = {
            b"PIPELINING": None,
            b"SIZE": [b"%d" % self.service.settings.max_message_size],
            b"8BITMIME": None,
            b"SMTPUTF8": None,
            b"ENHANCEDSTATUSCODES": None,
            b"CHUNKING": None,
        }
        if "DSN" not in self.wire.not_offered:
            offered[b"DSN"] = None
        offered[b"HELP"] = None
        if self.is_authenticated:
            offered[b"XPASSWORD"] = None
        if "STARTTLS" not in self.wire.closed:
            offered[b"STARTTLS"] = None
        if "AUTH" not in self.wire.closed:
            offered[b"AUTH"] = [name.encode() for name in self.service.mechanisms]
        return offered

    def hello(self, name: str, extended: bool) -> Coroutine[Any, Any, None] | None:
        """Answer EHLO or HELO, at once or in the coroutine returned.

        @param name: what the client calls itself.
        @param extended: whether it was EHLO.
        """
        self.client = replace(self.client, helo=name, protocol=self._protocol(extended))
        if self.checks is not None:
            return self._hello_if_allowed(self.checks, extended)
        self._answer_hello(extended)
        return None

    async def _hello_if_allowed(self, checks: ISessionChecks, extended: bool) -> None:
        refusal = await checks.greeted(self.client)
        # A refusal of EHLO before has closed some.
        self.update_closed_commands()
        if refusal is None:
            self._answer_hello(extended)
            return
        self.wire.closed["MAIL"] = self.wire.closed["AUTH"] = refusal
        self.event("refused", ip=self.client.ip, reply=f"{refusal.code} {refusal.enhanced}")
        self.reply(refusal)

    def _answer_hello(self, extended: bool) -> None:
        offered = self.extensions().items() if extended else ()
        lines = tuple(b" ".join((keyword, *(arguments or ()))).decode("ascii") for keyword, arguments in offered)
        self.reply(replies.hello(self.service.environment.hostname, lines))

    def _protocol(self, extended: bool) -> str:
        """Returns the transmission type (RFC 3848)."""
        letters = ("S" if self.connection.secure else "") + ("A" if self.is_authenticated else "")
        return f"ESMTP{letters}" if extended or letters else "SMTP"

    # TLS

    def start_tls(self) -> None:
        """Begin TLS. All state from before it is discarded, unread input too (RFC 3207 §4)."""
        context_factory = self.service.environment.context_factory
        assert context_factory is not None
        self.log_out()
        dropped = self.wire.restart()
        if dropped:
            self.event("smtp-plaintext-dropped", ip=self.client.ip, octets=dropped)
        self.client = Client(self.session_id, self.client.ip, local_ip=self.client.local_ip)
        self.reply(replies.TLS_READY)
        self.connection.start_tls(context_factory)

    def tls_began(self) -> None:
        """Note the TLS parameters, and open the commands that need TLS."""
        self.client = replace(self.client, tls=describe(self.connection.transport))
        self.update_closed_commands()

    # Logins

    def log_out(self) -> None:
        """End the login, an anonymous one too."""
        self.delivery = None
        self.is_authenticated = False
        self._login.log_out()

    async def _log_in(self, given: ICredentials | Credentials) -> bool:
        """Fetch the avatar for credentials.

        @return: False if the connection was closed meanwhile.
        """
        self.log_out()
        self.delivery = await self._login.log_in(given, self.client, lambda: not self.connection.closing)
        return self.delivery is not None

    async def log_in_anonymously(self) -> None:
        """Fetch the anonymous avatar, for MAIL without a login on a service that allows it."""
        await self._log_in(Anonymous())

    async def authenticate(self, step: Credentials | NeedsSecret) -> None:
        """Act on a step of an AUTH exchange: fetch the stored secret, or check the credentials (RFC 4954 §4)."""
        username = step.account if isinstance(step, NeedsSecret) else step.username
        try:
            if isinstance(step, NeedsSecret):
                self.wire.secret_found(await self._login.secret(step))
                return
            if not await self._log_in(step):
                return
        except LoginFailed:
            self._refuse_login(username)
        except TooManyGuesses:
            self.event("smtp-login-delayed", ip=self.client.ip, why=TooManyGuesses.__name__)
            self._refuse(replies.TOO_MANY_GUESSES)
        except (LoginBusy, StoreError) as error:
            self.event("smtp-login-delayed", ip=self.client.ip, why=type(error).__name__)
            self.reply(replies.LOGIN_BUSY if type(error) is LoginBusy else replies.LOGIN_UNCHECKED)
        else:
            self.is_authenticated = True
            account = self.delivery.account
            self.client = replace(
                self.client,
                account=None if account is None else account.address,
                protocol=self._protocol(extended=True),
            )
            self.update_closed_commands()
            self.event("smtp-login", ip=self.client.ip, account=self.client.account, tls=self.client.tls)
            self.reply(replies.LOGGED_IN)

    async def change_password(self, change: PasswordChange) -> None:
        """Verify the old password of the authenticated account, and replace it by the new one."""
        username = str(self.client.account).encode()
        try:
            await self._login.confirm(Credentials(username, change.old), self.client)
            if self.delivery is not None:
                answer = await self.delivery.change_password(change.new)
                # The check of a new password costs more than that of a login, so refusals count too.
                (self._refuse if answer.code >= 500 else self.reply)(answer)
        except LoginFailed:
            self._refuse_login(username)
        except TooManyGuesses:
            self._refuse(replies.TOO_MANY_GUESSES)
        except (LoginBusy, StoreError) as error:
            self.reply(replies.LOGIN_BUSY if type(error) is LoginBusy else replies.LOGIN_UNCHECKED)

    def _refuse_login(self, username: bytes) -> None:
        self.event("smtp-login-refused", ip=self.client.ip, user=username.decode("utf-8", "replace"))
        self._refuse(replies.LOGIN_FAILED)

    def _refuse(self, refusal: Reply) -> None:
        """Refuse a login or a new password, and close the connection after too many refusals."""
        self.reply(refusal)
        if self._login.failed():
            self.reply(replies.TOO_MANY_LOGINS)
            self.connection.close()
