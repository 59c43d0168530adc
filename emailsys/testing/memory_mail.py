"""An SMTP server in memory: real sessions, no socket, no thread, no disk; a conversation takes a few milliseconds."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.logger import Logger

from emailsys.config.settings import SMTPSettings
from emailsys.mail.envelope import Envelope
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.telemetry import Telemetry
from emailsys.testing.failures import Failure, FailureScript
from emailsys.testing.log_lines import LogLines
from emailsys.testing.memory_keeping import MemoryKeeping
from emailsys.testing.memory_peer import LOOPBACK, MemoryPeer
from emailsys.testing.message import Message, message_of
from emailsys.testing.sessions import ScriptedFactory

_HOSTNAME: Final = "memory.invalid"
_LOG_LINES: Final = 500


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
        keeping = MemoryKeeping(self._captured)
        telemetry = Telemetry(Logger(namespace="emailsys", observer=self.log))
        service = SMTPService(
            ServiceEnvironment(keeping.portal, self.clock, telemetry, _HOSTNAME),
            Kind.RECEIVE,
            keeping.intake,
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
