"""The catching server of `emailsys catch` on the main reactor: listens, keeps, tells of each message, ends."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure as Fault

from emailsys.mail.trace_fields import date_time
from emailsys.testing.failures import Failure, FailureSyntaxError, parse
from emailsys.testing.mailbox import EVERYTHING, Wanted
from emailsys.testing.message import Message
from emailsys.testing.server import listen
from emailsys.testing.storing_server import StoringServer

if TYPE_CHECKING:
    from emailsys.testing.late_web import LateWeb

#: Ports that are taken if none is named, or the next free ones.
DEFAULT_PORTS: Final = {"smtp": 1025, "pop3": 1110, "http": 1080}
_TRIES: Final = 200
# Seconds between two looks at the file of failures.
_LOOK_EVERY: Final = 0.25
# Seconds that sessions have at the end.
_PATIENCE: Final = 1.0
_FROM_LINE: Final = re.compile(rb"^(>*From )", re.M)


@dataclass(frozen=True, slots=True)
class CatchOptions:
    """The options of the command line.

    @ivar state: the folder of the store; None for a temporary one.
    @ivar mbox: a file that each message is appended to.
    @ivar failures_file: a file with a failure on each line, read again when it changes.
    @ivar count: how many messages that fit end the command; 0 for none.
    @ivar timeout: seconds after which it ends in any case; 0 for never.
    @ivar keep: how many messages are kept, the newest; 0 for no limit.
    @ivar keep_octets: the most octets of the messages that are kept; 0 for no limit.
    @ivar names: names of this host, besides its own, by which browsers may open it.
    @ivar tls: whether to offer STARTTLS and STLS, with a certificate for `host` and `names`.
    """

    host: str
    state: Path | None = None
    mbox: Path | None = None
    failures: Sequence[Failure] = ()
    failures_file: Path | None = None
    count: int = 0
    wanted: Wanted = EVERYTHING
    timeout: float = 0.0
    keep: int = 0
    keep_octets: int = 0
    names: Sequence[str] = ()
    tls: bool = False


def bind(host: str, service: str, port: int | None) -> socket.socket:
    """Return the listening socket of a service.

    @param port: None for the default port or the next free one, 0 for any free one.

    @raise OSError: the port is not free.
    """
    if port is not None:
        return listen(host, port)
    first = DEFAULT_PORTS[service]
    for number in range(first, first + _TRIES - 1):
        try:
            return listen(host, number)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    return listen(host, first + _TRIES - 1)


def read_failures(path: Path) -> list[Failure]:
    """Read a file of failures: one on each line, comments begin with #.

    @raise OSError: the file cannot be read.
    @raise FailureSyntaxError: a line is not understood. The message names it.
    """
    failures = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                failures.append(parse(line))
            except FailureSyntaxError as error:
                raise FailureSyntaxError(f"{path}, line {number}: {error}") from None
    return failures


def append_to_mbox(path: Path, message: Message) -> None:
    """Append a message to an mbox file (mboxrd), with LF line ends.

    @raise OSError: the file cannot be written.
    """
    sender = re.sub(r"[^!-~]", "_", message.envelope_from) or "MAILER-DAEMON"
    # RFC 4155: asctime, which `date_time` has in another order.
    day, month, year, clock = date_time(message.received_at).split()[1:5]
    first = f"From {sender} {message.received_at:%a} {month} {int(day):2d} {clock} {year}\n"
    body = _FROM_LINE.sub(rb">\1", message.raw.replace(b"\r\n", b"\n"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(descriptor, "ab") as file:
        file.write(first.encode("ascii", "replace") + body + (b"" if body.endswith(b"\n") else b"\n") + b"\n")


class Catcher:
    """A server that runs until it is stopped, has what it waits for, or its time is over."""

    def __init__(
        self, reactor: Any, options: CatchOptions, told: Callable[[Message], object], warned: Callable[[str], object]
    ) -> None:
        """
        @param told: called with each message.
        @param warned: called with a sentence about what is wrong while it runs.
        """
        self._reactor, self._options, self._told, self._warned = reactor, options, told, warned
        self.server = StoringServer(
            reactor,
            state=options.state,
            most_octets=options.keep_octets,
            most_messages=options.keep,
            tls_names=(options.host, *options.names) if options.tls else None,
        )
        self.server.inbox.observers.append(self._arrived)
        for failure in options.failures:
            self.server.script.add(failure)
        self._file_as_read: tuple[int, int] | None = None
        self._from_file: list[Failure] = []
        self._looking = LoopingCall(self._look_at_file)
        self._looking.clock = reactor
        self._web: LateWeb | None = None
        self._web_port: Any = None
        #: How many messages arrived, and how many of them fit.
        self.arrived = 0
        self.fitting = 0
        #: Why it could not start.
        self.fault: BaseException | None = None

    @property
    def has_all(self) -> bool:
        """Whether the messages that it waits for are there."""
        return self.fitting >= self._options.count

    def run(self, listeners: dict[str, socket.socket], started: Callable[[], object]) -> None:
        """Run the reactor until the end.

        @param started: called when mail is accepted.
        @raise StoreError: the store cannot be opened.
        """
        reactor = self._reactor

        def begin() -> None:
            _ = Deferred.fromCoroutine(self.server.start(listeners)).addCallbacks(lambda _: begun(), failed)

        def begun() -> None:
            if (listener := listeners.get("http")) is not None:
                self._serve_http(listener)
            for listener in listeners.values():
                listener.close()
            try:
                started()
            except OSError:
                # Nobody reads the output: `| head -1`.
                self._stop()
                return
            if self._options.failures_file is not None:
                _ = self._looking.start(_LOOK_EVERY)
            if self._options.timeout:
                reactor.callLater(self._options.timeout, self._stop)

        def failed(fault: Fault) -> None:
            self.fault = fault.value
            self._stop()

        reactor.callWhenRunning(begin)
        reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(self._end()))
        reactor.run()
        if self.fault is not None:
            raise self.fault

    def _serve_http(self, listener: socket.socket) -> None:
        from emailsys.testing.late_web import LateWeb

        host, port = listener.getsockname()[:2]
        self._web = LateWeb(self._reactor, self.server, host, port, self._options.names)
        self._web_port = self._reactor.adoptStreamPort(listener.fileno(), listener.family, self._web)

    async def _end(self) -> None:
        if self._web is not None:
            await maybeDeferred(self._web_port.stopListening)
            await self._web.close()
        await self.server.stop(_PATIENCE)

    def _stop(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    def _arrived(self, message: Message) -> None:
        self.arrived += 1
        if self._options.mbox is not None:
            try:
                append_to_mbox(self._options.mbox, message)
            except OSError as error:
                self._warned(f"{self._options.mbox}: the message {message.id} was not written: {error.strerror}")
        try:
            self._told(message)
        except OSError:
            # Nobody reads the output any more: `| head`.
            self._reactor.callLater(0, self._stop)
        if self._options.count:
            self.fitting += self._options.wanted.fits(message)
            if self.fitting == self._options.count:
                # The client still gets its reply, and has a moment to say QUIT.
                self._reactor.callLater(0, self._stop)

    def _look_at_file(self) -> None:
        """Take over the failures of the file if it has changed. What is wrong in it is told, and changes nothing."""
        path = self._options.failures_file
        assert path is not None
        try:
            found = path.stat()
            seen = found.st_mtime_ns, found.st_size
            if seen == self._file_as_read:
                return
            failures = read_failures(path)
        except (OSError, FailureSyntaxError) as error:
            text = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            if self._file_as_read != (0, 0):
                self._warned(text)
            self._file_as_read = (0, 0)
            return
        self._file_as_read = seen
        script = self.server.script
        for failure in self._from_file:
            script.remove(failure)
        self._from_file = [script.add(failure) for failure in failures]
