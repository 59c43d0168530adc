"""Long answers: made and sent in slices, so that the daemon serves mail in between."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, ITransport
from zope.interface import implementer

RowT = TypeVar("RowT")
MadeT = TypeVar("MadeT")

# Rows that are made or encoded at once, in about 3 ms.
ROWS_AT_ONCE: Final = 500
# How deep lists are looked for: an answer contains a result, which contains lists.
_DEPTH: Final = 2


async def in_slices(
    rows: Sequence[RowT], make: Callable[[RowT], MadeT], turn: Callable[[], Awaitable[object]] | None
) -> list[MadeT]:
    """Return what is made of each row.

    @param turn: waits for the next turn of the reactor; None if nothing else has to be served.
    """
    made: list[MadeT] = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        if start and turn is not None:
            await turn()
        made += map(make, rows[start : start + ROWS_AT_ONCE])
    return made


def encoded(answer: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield an answer as a line of JSON, in parts. A short answer is one part."""
    part: list[str] = []
    for text, is_end in _texts(answer, _DEPTH):
        part.append(text)
        if is_end:
            yield "".join(part).encode()
            part = []
    yield "".join([*part, "\n"]).encode()


def _texts(value: Any, depth: int) -> Iterator[tuple[str, bool]]:
    """Yield pieces of text, each with whether a part ends behind it."""
    if depth and isinstance(value, dict):
        before = "{"
        for key, inner in value.items():
            yield f"{before}{_json(key)}:", False
            yield from _texts(inner, depth - 1)
            before = ","
        yield "}" if value else "{}", False
    elif isinstance(value, list) and len(value) > ROWS_AT_ONCE:
        for start in range(0, len(value), ROWS_AT_ONCE):
            yield ("," if start else "[") + _json(value[start : start + ROWS_AT_ONCE])[1:-1], True
            # Freed here, the rows are not freed all at once at the end, which takes as long as many slices.
            value[start : start + ROWS_AT_ONCE] = [None] * len(value[start : start + ROWS_AT_ONCE])
        yield "]", False
    else:
        yield _json(value), False


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


@implementer(IPullProducer)
class PartSender:
    """Writes the parts of an answer to a transport, each when the one before has left.

    @ivar ended: fires when all parts are written, or the connection is lost.
    """

    def __init__(self, transport: Any, parts: Iterator[bytes]) -> None:
        self.ended: Deferred[None] = Deferred()
        self._transport = transport
        self._parts = parts

    def start(self) -> None:
        """Write the first part now."""
        self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        part = next(self._parts, None)
        if part is not None:
            self._transport.write(part)
            return
        self._transport.unregisterProducer()
        self.ended.callback(None)

    def stopProducing(self) -> None:
        self._parts = iter(())
        self.ended.callback(None)


async def send(transport: ITransport, answer: Mapping[str, Any]) -> None:
    """Send an answer. A short one is written at once, a long one as fast as the peer reads it."""
    parts = encoded(answer)
    first = next(parts)
    second = next(parts, None)
    if second is None:
        transport.write(first)
        return

    def all_parts() -> Iterator[bytes]:
        yield first
        yield second
        yield from parts

    sender = PartSender(transport, all_parts())
    sender.start()
    await sender.ended
