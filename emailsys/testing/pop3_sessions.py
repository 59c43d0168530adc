"""POP3 sessions for tests, in which scripted failures happen."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.task import deferLater
from typing_extensions import override

from emailsys.net.pop3.server import POP3Server, POP3ServerFactory
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.admission import RefusedConnection
from emailsys.net.serving.session_ids import session_ids
from emailsys.testing.failures import Cut, Failure, FailureScript, Stage
from emailsys.testing.own_reactor import OwnReactorConnection
from emailsys.wire.pop3.server import Command, Event

_STAGES: Final = {
    "PASS": Stage.PASS,
    "AUTH": Stage.PASS,
    "STAT": Stage.STAT,
    "LIST": Stage.LIST,
    "UIDL": Stage.UIDL,
    "RETR": Stage.RETR,
    "TOP": Stage.TOP,
    "DELE": Stage.DELE,
    "QUIT": Stage.QUIT,
}


class ScriptedPOP3Server(POP3Server):
    """A POP3 session as the daemon has it, which asks a script before each step."""

    def __init__(self, service: POP3Service, session_id: str, sessions: set[POP3Server], script: FailureScript) -> None:
        super().__init__(service, session_id, sessions, OwnReactorConnection)
        self._script = script
        # Whom the client says it is: an address, or any name for all mail.
        self._user = ""

    @override
    def greet(self) -> Coroutine[Any, Any, None] | None:
        failure = self._script.take(Stage.POP3)
        return super().greet() if failure is None else self._fail(failure, None)

    @override
    def perform(self, event: Event) -> Coroutine[Any, Any, None] | None:
        if not isinstance(event, Command):
            return super().perform(event)
        if event.verb == "USER":
            self._user = bytes(event.arguments[0]).decode("utf-8", "replace")
        stage = _STAGES.get(event.verb)
        failure = None if stage is None else self._script.take(stage, recipients=[self._user] if self._user else [])
        return super().perform(event) if failure is None else self._fail(failure, event)

    async def _fail(self, failure: Failure, event: Command | None) -> None:
        connection = self.connection
        if failure.delay:
            await deferLater(self.service.environment.clock, failure.delay)
        if connection.closing or connection.lost:
            return
        if failure.cut is Cut.AT:
            connection.abort()
            return
        if failure.refusal is not None:
            self.authorization.refuse(failure.refusal)
            if event is None or event.verb == "QUIT":
                # Nothing that was marked is removed (RFC 1939 §6).
                self.authorization.release()
                connection.close()
            return
        if failure.cut is Cut.AFTER:
            connection.send = _discarded
        step = super().greet() if event is None else super().perform(event)
        if step is not None:
            await step
        if failure.cut is Cut.AFTER:
            connection.abort()


def _discarded(octets: bytes) -> None:
    """Send nothing: the client never gets the reply."""


class ScriptedPOP3Factory(POP3ServerFactory):
    """Factory of POP3 sessions that share one script."""

    def __init__(self, service: POP3Service, script: FailureScript) -> None:
        super().__init__(service)
        self._script = script
        self._session_ids = session_ids()

    @override
    def buildProtocol(self, addr: IAddress | None) -> POP3Server | RefusedConnection:  # type: ignore[override]  # no TypeVar
        server = ScriptedPOP3Server(self.service, self._session_ids(), self.sessions, self._script)
        server.factory = self  # type: ignore[assignment]  # upstream calls it None
        return server
