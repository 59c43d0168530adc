"""Conversations drawn while they happen: each is drawn once for all browsers that watch it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.interfaces.operators.wire import IWireRecords
from emailsys.telemetry import Telemetry
from emailsys.web.api.live import Stream, event
from emailsys.web.api.problem import Problem

# Browsers that watch conversations at the same time.
_MAX_WATCHERS: Final = 50
# Seconds between two drawings of a conversation, and the largest share of time in which it is drawn.
_PAUSE: Final = 0.2
_SHARE: Final = 0.1

#: Returns a conversation, given as JSON, as HTML.
Draw = Callable[[Mapping[str, Any]], Awaitable[str]]


class _Watcher(Stream):
    """The drawings for one browser. One that reads slowly misses drawings: only the newest waits."""

    def __init__(self, leave: Callable[[_Watcher], None]) -> None:
        super().__init__()
        self._leave = leave

    def replace(self, octets: bytes) -> None:
        """Send a drawing in place of those that wait."""
        self._waiting.clear()
        self.put(octets)

    @override
    def close(self) -> None:
        super().close()
        self._leave(self)


class _Watched:
    """A conversation that has watchers."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.watchers: set[_Watcher] = set()
        # The recorder writes JSON in ASCII, with the session first.
        self.prefix = json.dumps({"session": session}, separators=(",", ":")).encode("ascii")[:-1] + b","
        self.call: IDelayedCall | None = None
        self.is_drawing = False
        self.has_changed = False
        # The time before which it is not drawn again.
        self.rests_until = 0.0


class LiveConversations:
    """Draws conversations anew while they go on, for those who watch them."""

    def __init__(self, records: IWireRecords, clock: IReactorTime, draw: Draw, telemetry: Telemetry) -> None:
        self._records = records
        self._clock = clock
        self._draw = draw
        self._telemetry = telemetry
        self._watched: dict[str, _Watched] = {}
        self._end: Callable[[], None] | None = None

    def __len__(self) -> int:
        return sum(len(one.watchers) for one in self._watched.values())

    def stream(self, session: str) -> Stream:
        """Begin to watch a conversation. The stream begins with its drawing.

        @raise Problem: too many browsers watch.
        """
        if len(self) >= _MAX_WATCHERS:
            raise Problem(
                429, "too-many-watchers", "Too many clients watch", help="Close one.", headers=[("Retry-After", "30")]
            )
        watched = self._watched.get(session)
        if watched is None:
            watched = self._watched[session] = _Watched(session)
        found = watched
        watcher = _Watcher(lambda one: self._left(found, one))
        found.watchers.add(watcher)
        if self._end is None:
            self._end = self._records.watch(self._hear, 0)
        self._change(found)
        return watcher

    async def close(self) -> None:
        """End all streams, at the end of the daemon."""
        for watched in tuple(self._watched.values()):
            for watcher in tuple(watched.watchers):
                watcher.close()

    def _left(self, watched: _Watched, watcher: _Watcher) -> None:
        watched.watchers.discard(watcher)
        if watched.watchers or self._watched.get(watched.session) is not watched:
            return
        del self._watched[watched.session]
        if watched.call is not None:
            watched.call.cancel()
            watched.call = None
        if not self._watched and self._end is not None:
            self._end()
            self._end = None

    def _hear(self, line: bytes) -> None:
        for watched in self._watched.values():
            if line.startswith(watched.prefix):
                self._change(watched)

    def _change(self, watched: _Watched) -> None:
        watched.has_changed = True
        if watched.call is None and not watched.is_drawing:
            rest = max(0.0, watched.rests_until - self._clock.seconds())
            watched.call = self._clock.callLater(rest, self._begin, watched)

    def _begin(self, watched: _Watched) -> None:
        watched.call = None
        watched.is_drawing = True
        _ = Deferred.fromCoroutine(self._send(watched)).addErrback(self._failed)

    async def _send(self, watched: _Watched) -> None:
        began = self._clock.seconds()
        watched.has_changed = False
        found = self._records.conversation(watched.session)
        try:
            html = None if found is None else await self._draw(found)
        finally:
            watched.is_drawing = False
            now = self._clock.seconds()
            watched.rests_until = now + max(_PAUSE, (now - began) / _SHARE)
        octets = event("drawn", {"html": html, "over": found is None or found["closed"]})
        for watcher in tuple(watched.watchers):
            watcher.replace(octets)
        if watched.has_changed and watched.watchers:
            self._change(watched)

    def _failed(self, failure: Failure) -> None:
        self._telemetry.exception("wire-drawing-exception", failure)
