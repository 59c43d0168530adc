"""HTTP server of the web face: connections, sizes and times of requests within limits, and a graceful end."""

# twisted.web has no types.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import Request, Site
from typing_extensions import override

from emailsys.net.serving.admission import Admission
from emailsys.telemetry import Telemetry

#: Octets of the body of a request without a login: a name and a password need less than one of them.
MAX_ANONYMOUS: Final = 64 * 1024
# Seconds for the header section of a request, from its first octet on. A browser sends it in one segment.
_HEADER_SECONDS: Final = 15.0
# Seconds for a body, in addition to the time that its octets take at the least rate: octets a second.
_BODY_SECONDS: Final = 30.0
_LEAST_RATE: Final = 2000
# Seconds of silence after which a connection without a request is closed.
_IDLE_SECONDS: Final = 60.0
# Seconds between the answer to a refused request and the end of its connection, in which the answer can be read.
_REFUSED_SECONDS: Final = 2.0


class LimitedRequest(Request):
    """A request whose body is within the limit of its client, and whose fields are text whatever they contain."""

    @override
    def getHeader(self, key: Any) -> Any:
        """Return a header field. Twisted raises UnicodeDecodeError for text that is not UTF-8."""
        if isinstance(key, bytes):
            return super().getHeader(key)
        value = super().getHeader(key.encode("ascii"))
        return None if value is None else value.decode("utf-8", "backslashreplace")

    @override
    def gotLength(self, length: int | None) -> None:
        channel = cast("LimitedChannel", self.channel)
        refusal = channel.examine(self, length)
        super().gotLength(length if refusal is None else 0)
        if refusal is not None:
            channel.refuse(*refusal)


class LimitedChannel(http.HTTPChannel):
    """A connection of a browser. Slow requests are ended, so that they cannot occupy connections."""

    #: For ALPN (RFC 7301): browsers offer h2 as well, which is not served.
    application_protocols = frozenset({b"http/1.1"})
    transport: Any
    site: Any

    def __init__(self) -> None:
        super().__init__()
        self._deadline: IDelayedCall | None = None
        self._is_refused = False
        self._ip: str | None = None

    @property
    def _server(self) -> WebServer:
        return cast("WebServer", self.site.server)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being received or answered."""
        return bool(self.requests)

    @override
    def connectionMade(self) -> None:
        super().connectionMade()
        ip = getattr(self.transport.getPeer(), "host", "")
        if not self._server.admit(self, ip):
            self.refuse(503, "Service Unavailable", "Too many connections. Try again later.")
            return
        self._ip = ip

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._is_refused:
            return
        if not self.requests and self._deadline is None:
            self._limit(_HEADER_SECONDS)
        super().dataReceived(data)

    @override
    def allHeadersReceived(self) -> None:
        self._limit(_BODY_SECONDS + (self.length or 0) / _LEAST_RATE)
        super().allHeadersReceived()

    @override
    def allContentReceived(self) -> None:
        if not self._is_refused:
            self._limit(None)
            super().allContentReceived()

    def _limit(self, seconds: float | None) -> None:
        """Abort the connection after that time, None for no limit. Replaces the limit before."""
        call, self._deadline = self._deadline, None
        if call is not None and call.active():
            call.cancel()
        if seconds is not None:
            self._deadline = self._server.clock.callLater(seconds, self.abort)

    def examine(self, request: Request, length: int | None) -> tuple[int, str, str] | None:
        """Return why the body of a request is refused: code, reason and a sentence. None if it is accepted."""
        if length is None:
            return 411, "Length Required", "The length of a request must stand in its header."
        # Small ones need no look at the login, which may need the store.
        if length > MAX_ANONYMOUS and length > self._server.body_limit(request):
            return 413, "Content Too Large", "The request is too large for this server."
        return None

    def refuse(self, code: int, reason: str, sentence: str) -> None:
        """Answer in place of the application, ignore what follows, and close."""
        self._is_refused = True
        text = f"{sentence}\n".encode()
        head = (
            f"HTTP/1.1 {code} {reason}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        self.transport.write(head.encode() + text)
        # Closed at once, what was not read would become a reset that overtakes the answer.
        self._limit(_REFUSED_SECONDS)

    def abort(self) -> None:
        """End the connection at once."""
        self._deadline = None
        self.transport.abortConnection()

    def drain(self) -> None:
        """Close the connection if it has no request, else after the answer."""
        self.persistent = False
        if not self.is_busy:
            self.transport.loseConnection()

    @property
    def connection(self) -> LimitedChannel:
        """The connection that `daemon.sessions` aborts."""
        return self

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._limit(None)
        if self._ip is not None:
            self._server.leave(self, self._ip)
        super().connectionLost(reason)


class _LimitedSite(Site):
    """Factory of the connections, which writes no access log."""

    noisy = False
    displayTracebacks = False
    requestFactory = LimitedRequest
    protocol = LimitedChannel  # type: ignore[assignment]

    def __init__(self, resource: IResource, server: WebServer) -> None:
        # A body is parsed by `web.base.forms`, which keeps the names of files.
        super().__init__(resource, reactor=server.clock, timeout=_IDLE_SECONDS, parsePOSTFormSubmission=False)
        self.server = server

    @override
    def log(self, request: Any) -> None:
        """Write nothing: the paths of a user's mail are private."""


class WebServer:
    """The HTTP server: its factory for listening ports, and its open connections.

    @ivar sessions: the open connections.
    """

    def __init__(
        self,
        resource: IResource,
        clock: IReactorTime,
        telemetry: Telemetry,
        admission: Admission,
        body_limit: Callable[[Request], int],
    ) -> None:
        """@param body_limit: the most octets that the body of a request may have."""
        self.clock = clock
        self.body_limit = body_limit
        self.sessions: set[LimitedChannel] = set()
        self._telemetry = telemetry
        self._admission = admission
        self.factory = _LimitedSite(resource, self)

    def admit(self, channel: LimitedChannel, ip: str) -> bool:
        """Count a new connection. Returns whether the limits admit it."""
        limit = self._admission.refusal(ip)
        if limit is not None:
            self._telemetry.event("web-refused", ip=ip, why=limit.value)
            return False
        self._admission.enter(ip)
        self.sessions.add(channel)
        return True

    def leave(self, channel: LimitedChannel, ip: str) -> None:
        """Count the end of a connection."""
        self._admission.leave(ip)
        self.sessions.discard(channel)

    def drain(self) -> int:
        """Close the connections without a request, the others after their answers; return how many are left."""
        for channel in tuple(self.sessions):
            channel.drain()
        return len(self.sessions)

    interrupt = drain
