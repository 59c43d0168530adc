"""An SMTP server in memory: real sessions, no socket, no thread, no disk; a conversation takes a few milliseconds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

from twisted.cred.checkers import ANONYMOUS, AllowAnonymousAccess
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.logger import Logger
from zope.interface import implementer

from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import Account, IIncoming, IIntake, Notice
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, LocalRoute, Route
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.telemetry import Telemetry
from emailsys.testing.acceptance import Acceptance, AnyPassword, CapturingIntake
from emailsys.testing.failures import Failure, FailureScript
from emailsys.testing.log_lines import LogLines
from emailsys.testing.memory_peer import LOOPBACK, MemoryPeer
from emailsys.testing.message import Message, message_of
from emailsys.testing.sessions import ScriptedFactory

_HOSTNAME: Final = "memory.invalid"
_LOG_LINES: Final = 500


class _OneBox:
    """All mail goes to one account, and every login is that account."""

    async def routes(self, path: Address) -> tuple[Route, ...]:
        return (LocalRoute(1),)

    async def of_login(self, name: bytes) -> Account:
        return Account(1, Address(name.decode("utf-8", "replace"), ""))


@implementer(IRealm)
class _Realm:
    def __init__(self, box: _OneBox) -> None:
        self._box = box

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        return interfaces[0], Acceptance(self._box, None if avatarId is ANONYMOUS else avatarId), lambda: None


@implementer(IIncoming)
class _Incoming:
    def __init__(self, queue_id: str) -> None:
        self.queue_id = queue_id
        self.octets = 0

    def write(self, octets: bytes) -> Deferred[None] | None:
        self.octets += len(octets)
        return None

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        """`CapturingIntake` keeps the message."""

    def abandon(self) -> None:
        """Nothing is kept."""


@implementer(IIntake)
class _Intake:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def begin(self) -> IIncoming:
        incoming: IIncoming = _Incoming(f"memory{next(self._numbers)}")
        return incoming

    async def has_room(self, octets: int) -> bool:
        return True


class MemorySMTP:
    """An SMTP server that accepts everything, for tests of protocols: nothing happens but what the test does.

    @ivar clock: the time of all sessions; `advance` it for timeouts and scripted delays.
    @ivar messages: what was accepted, oldest first.
    @ivar log: the last lines of the log.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.messages: list[Message] = []
        self.log = LogLines(maxlen=_LOG_LINES)
        self._script = FailureScript()
        box = _OneBox()
        portal = Portal(_Realm(box), [AllowAnonymousAccess(), AnyPassword(box)])
        telemetry = Telemetry(Logger(namespace="emailsys", observer=self.log))
        service = SMTPService(
            ServiceEnvironment(portal, self.clock, telemetry, _HOSTNAME),
            Kind.RECEIVE,
            CapturingIntake(_Intake(), self._captured),
            SMTPSettings(),
            is_trusted=lambda ip: True,
        )
        #: Its `buildProtocol` returns a session for a transport of your own.
        self.factory = ScriptedFactory(service, self._script)

    def _captured(self, queue_id: str, envelope: Envelope, raw: bytes) -> None:
        self.messages.append(message_of(queue_id, envelope, raw))

    def fail(self, *failures: Failure | str) -> None:
        """Let failures happen from now on, as `MailSystem.fail` does."""
        for failure in failures:
            self._script.add(failure)

    def connect(self, peer: IAddress = LOOPBACK) -> MemoryPeer:
        """Return a client that is connected, and has the greeting to read.

        @param peer: the address of the client.
        """
        return MemoryPeer(self.factory.buildProtocol(peer), self.clock, peer)
