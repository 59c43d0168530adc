"""Generator of 63-bit ids that grow with time and are unique across nodes and restarts, and their text form."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy import ColumnElement, Integer, and_, literal

# 41 bits of milliseconds since 2025-01-01 UTC (until 2094), 10 bits of node, 12 bits of sequence.
_EPOCH_MS: Final = 1_735_689_600_000
_NODE_BITS: Final = 10
_SEQUENCE_BITS: Final = 12
_MOMENT_BITS: Final = _NODE_BITS + _SEQUENCE_BITS
_MAX_SEQUENCE: Final = (1 << _SEQUENCE_BITS) - 1
_TEXT_LENGTH: Final = 14
NODES: Final = 1 << _NODE_BITS
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)


def node_of(number: int) -> int:
    """Return the number of the node that made an id."""
    return (number >> _SEQUENCE_BITS) & (NODES - 1)


def is_made_by(column: ColumnElement[int], ids: IdSource) -> ColumnElement[bool]:
    """Return the condition that this process made the ids in a column."""
    return and_(
        column > ids.above, column.bitwise_rshift(literal(_SEQUENCE_BITS, Integer)).bitwise_and(NODES - 1) == ids.node
    )


def id_text(number: int) -> str:
    """Format an id as 14 lower-case characters of Crockford's base 32. Texts sort as their ids do."""
    return (
        _PAIRS[number >> 60]
        + _PAIRS[(number >> 50) & 1023]
        + _PAIRS[(number >> 40) & 1023]
        + _PAIRS[(number >> 30) & 1023]
        + _PAIRS[(number >> 20) & 1023]
        + _PAIRS[(number >> 10) & 1023]
        + _PAIRS[number & 1023]
    )


def id_number(text: str) -> int | None:
    """Parse a text made by `id_text`, in either case. Returns None for any other text."""
    number = 0
    if len(text) != _TEXT_LENGTH:
        return None
    for character in text.lower():
        digit = _ALPHABET.find(character)
        if digit < 0:
            return None
        number = number << 5 | digit
    return number if number < 1 << 63 else None


def first_id_at(microseconds: int) -> int:
    """Return the lowest id that can have been made at or after a time.

    @param microseconds: since 1970, UTC.
    """
    return max(0, microseconds // 1000 - _EPOCH_MS) << _NODE_BITS + _SEQUENCE_BITS


class IdSource:
    """Source of ids for one node, callable from any thread. Ids always increase, even if the clock goes back."""

    def __init__(self, node: int, last_id: int, now: Callable[[], float]) -> None:
        """
        @param node: 0 to 1023. No other process uses the number at the same time.
        @param last_id: the highest id that this node ever committed, or 0.
        @param now: seconds since 1970.
        """
        self.node = node
        self._now = now
        self._lock = threading.Lock()
        # Ids start in the millisecond after that of `last_id`, so that no sequence number is used twice.
        self._last = (last_id >> _MOMENT_BITS << _NODE_BITS | node) << _SEQUENCE_BITS | _MAX_SEQUENCE if last_id else -1
        #: All ids of this process are above, and all of earlier processes with its number are not.
        self.above = self._last

    def make(self) -> int:
        """Return the next id."""
        with self._lock:
            last = self._last
            number = ((int(self._now() * 1000) - _EPOCH_MS) << _NODE_BITS | self.node) << _SEQUENCE_BITS
            if number <= last:
                # Same millisecond, or the clock went back: keep counting, into later milliseconds if necessary.
                number = last + 1
                if last & _MAX_SEQUENCE == _MAX_SEQUENCE:
                    number = ((last >> _MOMENT_BITS) + 1 << _NODE_BITS | self.node) << _SEQUENCE_BITS
            self._last = number
            return number
