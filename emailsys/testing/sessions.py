"""SMTP sessions for tests: logins are possible and never required, and scripted failures happen."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.task import deferLater
from typing_extensions import override

from emailsys.mail.address import Address
from emailsys.mail.reply import Reply
from emailsys.net.serving.admission import RefusedConnection
from emailsys.net.serving.session_ids import session_ids
from emailsys.net.smtp.server import ESMTPServer, ESMTPServerFactory
from emailsys.net.smtp.service import SMTPService
from emailsys.net.smtp.session import SMTPSession
from emailsys.net.smtp.transaction import Reception
from emailsys.testing.failures import Cut, Failure, FailureScript, Stage
from emailsys.testing.own_reactor import OwnReactorConnection
from emailsys.wire.smtp.server_events import Body, Command, End, Event

_STAGES: Final = {
    "EHLO": Stage.HELLO,
    "HELO": Stage.HELLO,
    "AUTH": Stage.AUTH,
    "MAIL": Stage.MAIL,
    "RCPT": Stage.RCPT,
    "DATA": Stage.DATA,
    "BDAT": Stage.DATA,
}


class OpenSession(SMTPSession):
    """A session in which a client may log in, without TLS too, but need not."""

    #: Whether replies are discarded, because the client will not be told what happened.
    is_silent = False

    @override
    def update_closed_commands(self) -> None:
        super().update_closed_commands()
        if not self.is_authenticated:
            self.wire.closed.pop("AUTH", None)

    @override
    def reply(self, reply: Reply) -> None:
        if not self.is_silent:
            super().reply(reply)


class ScriptedServer(ESMTPServer):
    """An SMTP session as the daemon has it, which asks a script before each step."""

    session: OpenSession

    def __init__(
        self, service: SMTPService, session_id: str, sessions: set[ESMTPServer], script: FailureScript
    ) -> None:
        super().__init__(service, session_id, sessions, OwnReactorConnection)
        self._script = script
        self.session = OpenSession(service, session_id, self.wire, self.connection)
        self.reception = Reception(self.session)
        # Sender and recipients of the message that is being received.
        self._envelope: tuple[Address | None, list[str]] = (None, [])

    @override
    def greet(self) -> Coroutine[Any, Any, None] | None:
        failure = self._script.take(Stage.CONNECT)
        return super().greet() if failure is None else self._fail_greeting(failure)

    async def _fail_greeting(self, failure: Failure) -> None:
        if not await self._is_open_after(failure.delay):
            return
        if failure.cut is not None:
            self.connection.abort()
        elif failure.reply is not None:
            self.session.reply(failure.reply)
            self.connection.close()
        elif (greeting := super().greet()) is not None:
            await greeting

    @override
    def perform(self, event: Event) -> Coroutine[Any, Any, None] | None:
        failure = self._failure_at(event)
        return super().perform(event) if failure is None else self._fail(failure, event)

    def _failure_at(self, event: Event) -> Failure | None:
        transaction = self.wire.transaction
        sender = transaction.arguments.reverse_path
        recipients = [str(one.forward_path) for one in transaction.recipients]
        if isinstance(event, Body):
            stage = Stage.DOT if event.end is End.MESSAGE else None
            # The transaction has ended with the last octet.
            sender, recipients = self._envelope
        else:
            stage = _STAGES.get(event.verb) if isinstance(event, Command) else None
            if isinstance(event, Command) and stage is Stage.MAIL:
                sender, recipients = event.argument.reverse_path, []
            elif isinstance(event, Command) and stage is Stage.RCPT:
                recipients = [str(event.argument.forward_path)]
            elif stage is Stage.DATA:
                self._envelope = sender, recipients
        if stage is None:
            return None
        return self._script.take(stage, "" if sender is None else str(sender), recipients)

    async def _is_open_after(self, delay: float) -> bool:
        if delay:
            await deferLater(self.service.environment.clock, delay)
        return not (self.connection.closing or self.connection.lost)

    async def _fail(self, failure: Failure, event: Event) -> None:
        if not await self._is_open_after(failure.delay):
            return
        if failure.cut is Cut.AT:
            self.connection.abort()
            return
        if failure.reply is not None:
            await self._refuse(failure.reply, event)
            return
        self.session.is_silent = failure.cut is Cut.AFTER
        step = super().perform(event)
        if step is not None:
            await step
        if self.session.is_silent:
            self.connection.abort()

    async def _refuse(self, reply: Reply, event: Event) -> None:
        if isinstance(event, Body) or (isinstance(event, Command) and event.verb == "BDAT"):
            # What has arrived is discarded, and the refusal sent at its end.
            if not isinstance(event, Body):
                self.reception.bdat()
            self.reception.refuse_message(reply)
            step = super().perform(event) if isinstance(event, Body) else None
            if step is not None:
                await step
        else:
            self.session.reply(reply)
        if reply.code == 421:
            # RFC 5321 §3.8: the server closes the connection after this reply.
            self.connection.close()


class ScriptedFactory(ESMTPServerFactory):
    """Factory of sessions that share one script."""

    def __init__(self, service: SMTPService, script: FailureScript) -> None:
        super().__init__(service)
        self._script = script
        self._session_ids = session_ids()

    @override
    def buildProtocol(self, addr: IAddress | None) -> ESMTPServer | RefusedConnection:
        server = ScriptedServer(self.service, self._session_ids(), self.sessions, self._script)
        server.factory = self
        server.portal = self.portal
        return server
