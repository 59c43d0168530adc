"""Watchers of the live wire: each event is gathered once, and the same octets go to one watcher after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from typing_extensions import override

from emailsys.interfaces.operators.wire import IWireRecords
from emailsys.web.api.live import Stream, event

# Seconds in which events are gathered for one write to each watcher, and octets after which they are sent at once.
_GATHER: Final = 0.1
_MAX_GATHERED: Final = 256 * 1024
# Octets that wait for a watcher that reads slowly. Further events are lost, and counted.
_MAX_WAITING: Final = 1024 * 1024


class WireStream(Stream):
    """The events of conversations for one watcher. A slow watcher loses events, and is told how many.

    @ivar since: how many of the gathered events this watcher does not need.
    """

    def __init__(self, leave: Callable[[WireStream], None]) -> None:
        """@param leave: called when the stream is closed."""
        # Octets are the limit. A piece has at least one.
        super().__init__(_MAX_WAITING)
        self._leave = leave
        self._octets = 0
        self._lost = 0
        self.since = 0

    @property
    def is_behind(self) -> bool:
        """Whether the watcher reads so slowly that events are lost, or soon will be."""
        return self._lost > 0 or self._octets > _MAX_WAITING // 2

    @override
    def put(self, octets: bytes) -> None:
        self._octets += len(octets)
        super().put(octets)

    def put_events(self, octets: bytes, events: int) -> None:
        """Add so many events, or count them as lost.

        After the first loss all events are lost until the watcher has read what waits: it misses one stretch.
        """
        if self._lost or (self._waiting and self._octets + len(octets) > _MAX_WAITING):
            self._lost += events
        else:
            self.put(octets)

    @override
    def close(self) -> None:
        super().close()
        self._leave(self)

    @override
    async def pieces(self) -> AsyncIterator[bytes]:
        async for piece in super().pieces():
            self._octets -= len(piece)
            if self._lost and not self._waiting:
                lost, self._lost = self._lost, 0
                self.put(event("lost", {"lost": lost}))
            yield piece


class WireWatchers:
    """Gathers events while there are watchers, and passes them on a few times a second."""

    def __init__(self, records: IWireRecords, clock: IReactorTime) -> None:
        self._records = records
        self._clock = clock
        self._streams: set[WireStream] = set()
        self._end: Callable[[], None] | None = None
        # Conversations that are open when a watcher joins; None at any other time.
        self._opened: list[bytes] | None = None
        self._gathered: list[bytes] = []
        self._octets = 0
        self._call: IDelayedCall | None = None
        # What the watchers get one after the other: octets, and how many events they are.
        self._due: dict[WireStream, tuple[bytes, int]] = {}
        self._pause = 0.0
        self._next: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def join(self) -> WireStream:
        """Return the stream of a new watcher. It begins with the conversations that are open."""
        stream = WireStream(self._left)
        opened: list[bytes] = []
        self._opened = opened
        try:
            end = self._records.watch(self._hear, 0)
        finally:
            self._opened = None
        # The new watch tells what is open, and takes the place of the one before.
        if self._end is not None:
            self._end()
        self._end = end
        stream.since = len(self._gathered)
        self._streams.add(stream)
        if opened:
            stream.put(b"".join(opened))
        return stream

    def catch_up(self, stream: WireStream) -> None:
        """Pass on what is gathered to one watcher, before something else is put into its stream."""
        self._pass_on(stream)
        events = self._gathered[stream.since :]
        stream.since = len(self._gathered)
        if events:
            stream.put_events(b"".join(events), len(events))

    def close(self) -> None:
        """End all streams."""
        for stream in tuple(self._streams):
            stream.close()

    def _left(self, stream: WireStream) -> None:
        self._streams.discard(stream)
        self._due.pop(stream, None)
        if self._streams or self._end is None:
            return
        self._end()
        self._end = None
        self._gathered, self._octets = [], 0
        for call in (self._call, self._next):
            if call is not None:
                call.cancel()
        self._call = self._next = None

    def _hear(self, line: bytes) -> None:
        # The recorder has made one line of JSON for everybody, in ASCII and without line ends.
        name = b"conversation" if line.startswith(b'{"conversation":') else b"event"
        octets = b"event: %b\ndata: %b\n\n" % (name, line)
        if self._opened is not None:
            self._opened.append(octets)
            return
        self._gathered.append(octets)
        self._octets += len(octets)
        if self._call is None:
            self._call = self._clock.callLater(_GATHER, self._flush)
        elif self._octets > _MAX_GATHERED:
            self._call.reset(0)

    def _flush(self) -> None:
        self._call = None
        for stream in tuple(self._due):
            self._pass_on(stream)
        gathered, self._gathered, self._octets = self._gathered, [], 0
        octets = b"".join(gathered)
        for stream in self._streams:
            since, stream.since = stream.since, 0
            if since < len(gathered):
                self._due[stream] = (b"".join(gathered[since:]) if since else octets, len(gathered) - since)
        # Mail that arrives meanwhile never waits for the writes to all watchers.
        self._pause = _GATHER / (len(self._due) + 1)
        if self._next is None:
            self._pass_next()

    def _pass_next(self) -> None:
        self._next = None
        if self._due:
            self._pass_on(next(iter(self._due)))
        if self._due:
            self._next = self._clock.callLater(self._pause, self._pass_next)

    def _pass_on(self, stream: WireStream) -> None:
        octets, events = self._due.pop(stream, (b"", 0))
        if events:
            stream.put_events(octets, events)
