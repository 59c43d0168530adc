"""Live numbers of the system, as Server-Sent Events for any number of watchers up to a limit."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from emailsys.telemetry import Telemetry
from emailsys.web.api.problem import Problem

# Seconds between two events.
_EVERY: Final = 1.0
# Events that wait for a client. One that reads as slowly as that is disconnected.
_MAX_WAITING: Final = 30
# Numbers that a new watcher gets at once, so that its plot does not begin empty.
_KEPT: Final = 120

#: Returns the current numbers.
Sample = Callable[[], Awaitable[Mapping[str, Any]]]


def event(name: str, value: Any) -> bytes:
    """Return a Server-Sent Event with a JSON value (WHATWG HTML §9.2)."""
    return f"event: {name}\ndata: {json.dumps(value, ensure_ascii=True)}\n\n".encode("ascii")


class Stream:
    """The events of one watcher, in pieces. Ends when `close` is called, or too many events wait.

    @ivar drop: called when the watcher does not read. It must end the connection.
    """

    def __init__(self, most: int = _MAX_WAITING) -> None:
        self._waiting: deque[bytes] = deque()
        self._most = most
        self._ready: Deferred[None] | None = None
        self.is_closed = False
        self.drop: Callable[[], object] | None = None

    def put(self, octets: bytes) -> None:
        """Add an event. If too many wait, the watcher is dropped."""
        if self.is_closed:
            return
        self._waiting.append(octets)
        if len(self._waiting) > self._most:
            self.close()
            if self.drop is not None:
                self.drop()
        self._wake()

    @property
    def waiting(self) -> int:
        """How many events wait for the client."""
        return len(self._waiting)

    def close(self) -> None:
        """End the stream."""
        self.is_closed = True
        self._waiting.clear()
        self._wake()

    def _wake(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.callback(None)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the events as they come."""
        while not self.is_closed:
            while self._waiting:
                yield self._waiting.popleft()
            if not self.is_closed:
                self._ready = Deferred()
                await self._ready


class LiveNumbers:
    """Samples the numbers while there are watchers, and sends the numbers to all of them."""

    #: What the numbers are. Counts are since the start of the daemon.
    NAMES: ClassVar[Mapping[str, str]] = {
        "at": "seconds since 1970",
        "uptime": "seconds since the start",
        "accepted": "messages accepted",
        "relayed": "recipients delivered to other hosts",
        "delayed": "attempts that failed for now",
        "failed": "recipients given up",
        "refused": "senders, recipients and messages refused",
        "waiting": "recipients in the queue that wait",
        "leased": "recipients that are being tried",
        "held": "recipients that are held",
        "sessions": "open sessions by service",
        "commits": "commits of the store",
        "committed": "jobs in these commits",
        "commit_seconds": "seconds that these commits took",
        "store_ms": "milliseconds of a read of the queue",
        "disk_free": "free octets, null if unknown",
    }
    MAX_STREAMS: ClassVar[int] = 50

    def __init__(self, clock: IReactorTime, sample: Sample, telemetry: Telemetry) -> None:
        self.clock = clock
        self._sample = sample
        self._telemetry = telemetry
        self._streams: set[Stream] = set()
        self._history: deque[bytes] = deque(maxlen=_KEPT)
        self._running = LoopingCall(lambda: Deferred.fromCoroutine(self._step()).addErrback(self._failed))
        self._running.clock = clock

    def __len__(self) -> int:
        return len(self._streams)

    def stream(self) -> Stream:
        """Begin to watch.

        @raise Problem: too many clients watch.
        """
        if len(self._streams) >= self.MAX_STREAMS:
            raise Problem(
                429, "too-many-watchers", "Too many clients watch", help="Close one.", headers=[("Retry-After", "30")]
            )
        stream = Stream(_MAX_WAITING + len(self._history))
        self._streams.add(stream)
        for octets in self._history:
            stream.put(octets)
        if not self._running.running:
            _ = self._running.start(_EVERY)
        return stream

    def leave(self, stream: Stream) -> None:
        """Stop to watch. Call it when the connection has ended."""
        stream.close()
        self._streams.discard(stream)
        if not self._streams and self._running.running:
            self._running.stop()
            # The numbers would have a gap.
            self._history.clear()

    def close(self) -> None:
        """End all streams, at the end of the daemon."""
        for stream in tuple(self._streams):
            self.leave(stream)

    async def _step(self) -> None:
        octets = event("numbers", await self._sample())
        self._history.append(octets)
        for stream in tuple(self._streams):
            stream.put(octets)
            if stream.is_closed:
                self.leave(stream)

    def _failed(self, failure: Failure) -> None:
        self._telemetry.exception("live-numbers-exception", failure)
