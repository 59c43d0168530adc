"""Make 63-bit ids that grow with time, unique over nodes and restarts, and print them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

# 41 bits of milliseconds since 2025-01-01 UTC (until 2094), 10 bits of node, 12 bits of sequence.
_EPOCH_MS: Final = 1_735_689_600_000
_NODE_BITS: Final = 10
_SEQUENCE_BITS: Final = 12
_TEXT_LENGTH: Final = 14
NODES: Final = 1 << _NODE_BITS
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)


def node_of(number: int) -> int:
    """The node that made an id."""
    return (number >> _SEQUENCE_BITS) & (NODES - 1)


def id_text(number: int) -> str:
    """An id in 14 characters of Crockford's base 32 in lower case: no two ids alike, in their order."""
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
    """The id of a text that `id_text` made, whatever its case; None for another."""
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
    """The least id that can have been made at that time or later; microseconds since 1970."""
    return max(0, microseconds // 1000 - _EPOCH_MS) << _NODE_BITS + _SEQUENCE_BITS


class IdSource:
    """Ids of one node, from any thread. Each is above every earlier one, whatever the clock does."""

    def __init__(self, node: int, last_id: int, now: Callable[[], float]) -> None:
        """
        @param node: 0 to 1023, held by this process alone.
        @param last_id: the highest id that this node ever committed, 0 for none.
        @param now: seconds since 1970.
        """
        self.node = node
        self._now = now
        self._lock = threading.Lock()
        # The next sequence number follows `last_id`'s millisecond, so that nothing of that millisecond is used twice.
        self._millisecond = (last_id >> (_NODE_BITS + _SEQUENCE_BITS)) + 1 if last_id else 0
        self._sequence = -1

    def make(self) -> int:
        """The next id."""
        with self._lock:
            millisecond = int(self._now() * 1000) - _EPOCH_MS
            if millisecond > self._millisecond:
                self._millisecond = millisecond
                self._sequence = 0
            else:
                # The same millisecond, or the clock went back: count on, borrowing from the future if need be.
                self._sequence += 1
                if self._sequence >> _SEQUENCE_BITS:
                    self._millisecond += 1
                    self._sequence = 0
            return (self._millisecond << _NODE_BITS | self.node) << _SEQUENCE_BITS | self._sequence
