"""Stream of recorded events to one watcher on the control socket, in a bounded buffer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from emailsys.control.answers import Answer
from emailsys.control.control_socket import ControlFailed, connected
from emailsys.control.wire_requests import WireWatch
from emailsys.interfaces.operators.wire import IWireRecords

# Octets that wait for a watcher that does not read. Further events are lost, and counted.
MAX_WAITING: Final = 1024 * 1024
# Seconds in which events are gathered for one write.
_GATHER: Final = 0.05


@implementer(IPushProducer)
class WatchStream:
    """Sends events to one watcher. A slow watcher loses events; it never slows the daemon."""

    def __init__(self, records: IWireRecords, clock: IReactorTime, transport: Any, past: int) -> None:
        """@param past: conversations of the past that are sent first."""
        self._clock = clock
        self._transport = transport
        self._lines: list[bytes] = []
        self._octets = 0
        self._lost = 0
        self._paused = False
        self._call: IDelayedCall | None = None
        self._is_past = True
        self._end = records.watch(self._hear, past)
        self._is_past = False
        transport.write(b'{"watching":true}\n')
        transport.registerProducer(self, True)

    def _hear(self, line: bytes) -> None:
        if self._is_past:
            # The limits of the recorder bound how much this can be.
            self._transport.write(line + b"\n")
            return
        if self._octets + len(line) > MAX_WAITING:
            self._lost += 1
            return
        self._lines.append(line)
        self._octets += len(line)
        if self._call is None and not self._paused:
            self._call = self._clock.callLater(_GATHER, self._flush)

    def _flush(self) -> None:
        self._call = None
        if self._paused:
            return
        lines, self._lines, self._octets = self._lines, [], 0
        if self._lost:
            lines.append(json.dumps({"lost": self._lost}, separators=(",", ":")).encode("ascii"))
            self._lost = 0
        if lines:
            self._transport.write(b"\n".join(lines) + b"\n")

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._flush()

    def stopProducing(self) -> None:
        self.end()

    def end(self) -> None:
        """End the watch. A second call does nothing."""
        self._end()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._lines = []


def watch(folder: Path, past: int) -> Iterator[Answer]:
    """Yield what the daemon of a state folder sends to a watcher. Blocks.

    @raise NoDaemon: no daemon runs there.
    @raise ControlFailed: this user has no permission, or the daemon ended the stream.
    """
    with connected(folder, None) as connection:
        connection.sendall(json.dumps(WireWatch(past).as_json()).encode() + b"\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                found: Any = None
                with suppress(ValueError):
                    found = json.loads(line)
                if not isinstance(found, dict):
                    raise ControlFailed("the daemon sent a line that is not a JSON object")
                if "error" in found:
                    raise ControlFailed(str(found["error"]["message"]))
                yield found
    raise ControlFailed("the daemon has ended the stream")
