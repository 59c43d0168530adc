"""The daemon's end of the control socket: accepts connections, and answers the requests of each in turn."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol

from twisted.internet import protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReadDescriptor
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.control.answers import MALFORMED, Answer, error_answer
from emailsys.control.control_socket import MAX_REQUEST_OCTETS
from emailsys.control.long_answers import encoded, send
from emailsys.control.request_reading import read_request
from emailsys.control.request_values import MalformedRequest
from emailsys.control.wire_requests import WireWatch
from emailsys.interfaces.operators import Actor
from emailsys.platforms.users import effective_user
from emailsys.telemetry import Telemetry

# Seconds until the next accept() after one has failed.
ACCEPT_AGAIN_AFTER: Final = 1.0
_PEER_CREDENTIALS: Final = struct.Struct("3i")


class Answering(Protocol):
    """An object that carries out requests, such as `emailsys.control.commands.Commands`."""

    async def answer(self, request: object, actor: Actor | None = None) -> Answer:
        """Return the answer to a request. Never raises."""


class Stream(Protocol):
    """A stream of events to a connection."""

    def end(self) -> None:
        """End it. A second call does nothing."""


#: Begins a stream on a transport, with so many conversations of the past.
Watch = Callable[[Any, int], Stream]


def peer_uid(connection: socket.socket) -> int | None:
    """Return the user at the other end. None if the system does not tell: only the mode of the socket protects it."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    octets = connection.getsockopt(socket.SOL_SOCKET, option, _PEER_CREDENTIALS.size)
    return int(_PEER_CREDENTIALS.unpack(octets)[1])


class ControlProtocol(LineOnlyReceiver):
    """A connection to the control socket. Requests are answered in the order in which they arrive."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_REQUEST_OCTETS

    def __init__(
        self, commands: Answering, allowed: Collection[int | None], telemetry: Telemetry, watch: Watch | None = None
    ) -> None:
        self._commands = commands
        self._watch = watch
        self._stream: Stream | None = None
        self._allowed = allowed
        self._telemetry = telemetry
        self._waiting: list[bytes] = []
        self._working = False
        self._refused = False
        self._actor: Actor | None = None

    @override
    def connectionMade(self) -> None:
        connection = getattr(self.transport, "socket", None)
        uid = peer_uid(connection) if connection is not None else None
        self._actor = Actor("user" if uid is None else f"user-{uid}")
        if uid is not None and uid not in self._allowed:
            self._telemetry.event("control-refused", uid=uid)
            self._refuse(f"user {uid} may not command this daemon; only root and the daemon's own user may")

    @override
    def lineReceived(self, line: bytes) -> None:
        if self._refused:
            return
        self._waiting.append(line)
        if not self._working:
            self._working = True
            _ = Deferred.fromCoroutine(self._work()).addErrback(self._log_exception)

    @override
    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(f"a request is at most {MAX_REQUEST_OCTETS} octets")

    @override
    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._waiting.clear()
        if self._stream is not None:
            self._stream.end()

    async def _work(self) -> None:
        try:
            while self._waiting and self._stream is None:
                request = _parsed(self._waiting.pop(0))
                if isinstance(request, dict) and request.get("command") == WireWatch.command:
                    self._begin_stream(request)
                else:
                    answer = await self._commands.answer(request, self._actor)
                    if self.transport is not None:
                        await send(self.transport, answer)
        finally:
            self._working = False

    def _begin_stream(self, request: object) -> None:
        """Answer a request to watch, and send events from now on. Further requests are not answered."""
        try:
            known = read_request(request)
        except MalformedRequest as error:
            self._send(error_answer(MALFORMED, str(error)))
            return
        assert isinstance(known, WireWatch)
        if self._watch is None or self.transport is None or not self.connected:
            self._send(error_answer(MALFORMED, "this daemon records no connections"))
            return
        self._send({"result": {"recording": True}})
        self._stream = self._watch(self.transport, known.past)

    def _log_exception(self, failure: Failure) -> None:
        self._telemetry.exception("control-exception", failure)
        self._refuse("unexpected exception; see the daemon's log")

    def _refuse(self, message: str) -> None:
        self._refused = True
        self._waiting.clear()
        self._send(error_answer(MALFORMED, message))
        if self.transport is not None:
            self.transport.loseConnection()

    def _send(self, answer: Answer) -> None:
        if self.transport is not None:
            self.transport.write(b"".join(encoded(answer)))


def _parsed(line: bytes) -> object:
    """Return the JSON value of a line. Invalid JSON is returned as text, which is not a valid request."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line.decode("utf-8", "replace")


class ControlFactory(protocol.ServerFactory):
    """Makes the connections to the control socket.

    @param allowed: users who may command the daemon, besides root and the user it runs as.
    @param watch: begins a stream of recorded events, such as `WatchStream`.
    """

    noisy = False

    def __init__(
        self,
        commands: Answering,
        telemetry: Telemetry,
        allowed: Collection[int] = (),
        watch: Watch | None = None,
    ) -> None:
        self._commands = commands
        self._watch = watch
        self._telemetry = telemetry
        self._allowed = frozenset({0, effective_user(), *allowed})

    @override
    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol:
        connection = ControlProtocol(self._commands, self._allowed, self._telemetry, self._watch)
        connection.factory = self
        return connection


@implementer(IReadDescriptor)
class ControlListener:
    """Accepts connections on the control socket.

    Twisted's port for Unix sockets cannot be used: it makes the socket writable for everybody, by the name it was bound
    to, and for a long path that name no longer exists.
    """

    def __init__(self, listener: socket.socket, factory: ControlFactory, reactor: Any) -> None:
        self._listener = listener
        self._factory = factory
        self._reactor = reactor

    def start(self) -> None:
        """Start to accept connections."""
        self._factory.doStart()
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Stop accepting; open connections continue. A second call does nothing."""
        if self._listener.fileno() >= 0:
            self._reactor.removeReader(self)
            self._listener.close()
            self._factory.doStop()

    def fileno(self) -> int:
        return self._listener.fileno()

    def doRead(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            # The peer has closed the connection already.
            return
        except OSError:
            self._rest()
            return
        with connection:
            connection.setblocking(False)
            try:
                # The transport duplicates the descriptor.
                self._reactor.adoptStreamConnection(connection.fileno(), connection.family, self._factory)
            except OSError:
                # On an exception, the reactor would drop this socket, and no command could be sent any more.
                self._rest()

    def _rest(self) -> None:
        """Pause after a failed accept(), usually for lack of descriptors: the reactor would call again at once."""
        self._reactor.removeReader(self)
        self._reactor.callLater(ACCEPT_AGAIN_AFTER, self._again)

    def _again(self) -> None:
        if self._listener.fileno() >= 0:
            self._reactor.addReader(self)

    def connectionLost(self, reason: Failure) -> None:
        self.stop()

    def logPrefix(self) -> str:
        return "control"
