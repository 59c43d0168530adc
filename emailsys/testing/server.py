"""A mail server for tests on a reactor: the daemon's sessions, without its store, its policy and its outbound mail."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from twisted.cred.portal import Portal
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger

from emailsys.config.settings import POP3Settings, SMTPSettings
from emailsys.interfaces import IIntake
from emailsys.mail.envelope import Envelope
from emailsys.net.pop3.service import POP3Service
from emailsys.net.serving.admission import Admission
from emailsys.net.serving.environment import ServiceEnvironment
from emailsys.net.smtp.service import Kind, SMTPService
from emailsys.telemetry import Telemetry
from emailsys.testing.failures import FailureScript
from emailsys.testing.log_lines import LogLines
from emailsys.testing.mailbox import Inbox
from emailsys.testing.memory_keeping import MemoryKeeping
from emailsys.testing.message import message_of
from emailsys.testing.pop3_sessions import ScriptedPOP3Factory
from emailsys.testing.sessions import ScriptedFactory

HOSTNAME: Final = "catch.invalid"
# A file system in memory, and the room that it must have: containers often have 64 MiB there.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108
_MEMORY_ROOM: Final = 256 * 1024 * 1024
_CERTIFICATES: Final = "certs"
_LOG_LINES: Final = 500
_BACKLOG: Final = 128
# Seconds between two looks at the sessions that end by themselves.
_POLL: Final = 0.01
# Turns of the reactor in which aborted sessions end. A commit in progress takes some milliseconds more.
_TURNS: Final = 1000


def _temporary_folder() -> str:
    """Make a folder of our own, in memory if there is room: a commit waits for the disk."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_ROOM
    if in_memory:
        try:
            return tempfile.mkdtemp(prefix="emailsys-", dir=_MEMORY)
        except OSError:
            # Not writable here.
            pass
    return tempfile.mkdtemp(prefix="emailsys-")


class Keeping(Protocol):
    """What the sessions of a mail server need behind them."""

    @property
    def portal(self) -> Portal:
        """Opens maildrops, and says who may send."""

    @property
    def intake(self) -> IIntake:
        """Accepts messages."""


class CatchServer:
    """A mail server that accepts everything, keeps it in memory and sends nothing on.

    It has real SMTP and POP3 sessions. It has no queue runner, no resolver and no connection pool: no code in it
    connects to another host. All methods are called in the reactor's thread.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        most_octets: int = 0,
        most_messages: int = 0,
        tls_names: Sequence[str] | None = None,
    ) -> None:
        """
        @param most_octets: of the messages in the inbox; the oldest go first. 0 for no limit.
        @param most_messages: the same for their number.
        @param tls_names: offer STARTTLS and STLS, with a certificate for localhost and these names; None for no TLS.
        """
        self._tls_names = tls_names
        #: The certificate of the authority that clients must trust, with TLS.
        self.ca: Path | None = None
        self.reactor = reactor
        self._temporary: Path | None = None
        self._removal: weakref.finalize[Any, Any] | None = None
        self.script = FailureScript()
        self.inbox = Inbox(self.script, most_octets, most_messages)
        #: The last lines of the log.
        self.log = LogLines(maxlen=_LOG_LINES)
        self.telemetry = Telemetry(Logger(namespace="emailsys", observer=self.log))
        self._ports: list[IListeningPort] = []
        self._factories: list[Any] = []

    async def start(self, listeners: Mapping[str, socket.socket]) -> None:
        """Serve.

        @param listeners: listening sockets of "smtp" and "pop3". They are duplicated; the caller closes them.
        @raise StoreError: the store of a subclass cannot be opened.
        """
        try:
            self._serve(await self.open_keeping(), listeners)
        except BaseException:
            await self.stop()
            raise

    async def open_keeping(self) -> Keeping:
        """Open what keeps the mail."""
        return MemoryKeeping(self.captured)

    async def close_keeping(self) -> None:
        """Close what keeps the mail. Called in any case, once no session is left."""

    def folder(self) -> Path:
        """Return the folder for files of the server: a temporary one that is removed at the end."""
        if self._temporary is None:
            self._temporary = Path(_temporary_folder())
            # A test run may end without `stop`.
            self._removal = weakref.finalize(self, _remove, str(self._temporary), os.getpid())
        return self._temporary

    def captured(self, queue_id: str, envelope: Envelope, raw: bytes) -> None:
        """Add a message that was accepted to the inbox."""
        self.inbox.add(message_of(queue_id, envelope, raw))

    def _serve(self, keeping: Keeping, listeners: Mapping[str, socket.socket]) -> None:
        tls = None
        if self._tls_names is not None:
            # Imported here: most tests do without TLS, and cryptography takes a tenth of a second.
            from emailsys.testing.certificates import certificates_in

            self.ca, tls = certificates_in(self.folder() / _CERTIFICATES, self._tls_names)
        environment = ServiceEnvironment(keeping.portal, self.reactor, self.telemetry, HOSTNAME, tls)
        admission = Admission(is_exempt=_everybody)
        smtp = ScriptedFactory(
            SMTPService(
                environment,
                Kind.RECEIVE,
                keeping.intake,
                SMTPSettings(max_received_fields=1000),
                is_trusted=_everybody,
                admission=admission,
            ),
            self.script,
        )
        pop3 = ScriptedPOP3Factory(POP3Service(environment, POP3Settings(plaintext_auth_on_loopback=True)), self.script)
        self._factories = [smtp, pop3]
        for name, factory in (("smtp", smtp), ("pop3", pop3)):
            listener = listeners[name]
            self._ports.append(self.reactor.adoptStreamPort(listener.fileno(), listener.family, factory))

    async def end_sessions(self) -> None:
        """End all sessions at once. Returns when they are gone."""
        for _ in range(_TURNS):
            sessions = [session for factory in self._factories for session in tuple(factory.sessions)]
            if not sessions:
                return
            for session in sessions:
                session.connection.abort()
            await deferLater(self.reactor, 0)

    async def stop(self, patience: float = 0.0) -> None:
        """Stop listening, end all sessions, close what keeps the mail, and remove the temporary folder.

        @param patience: seconds in which sessions may end by themselves.
        """
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)
        deadline = self.reactor.seconds() + patience
        while any(factory.sessions for factory in self._factories) and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, _POLL)
        await self.end_sessions()
        await self.close_keeping()
        self._temporary = None
        if self._removal is not None:
            self._removal()


def _remove(folder: str, owner: int) -> None:
    """Remove a temporary folder at the end of the process that made it. Its forked children end earlier."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _everybody(ip: str) -> bool:
    return True


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    @raise OSError: the address cannot be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
