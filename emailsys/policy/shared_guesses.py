"""Guesses that nodes tell one another: failed logins and unknown recipients, in batches."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.interfaces import StoreError
from emailsys.telemetry import Telemetry

# Octets of one batch. PostgreSQL passes on texts of less than 8,000.
_MOST_OCTETS: Final = 7000
# Counts that wait to be sent, and the longest key of one. What is beyond that stays on this node.
_MOST: Final = 5000
_LONGEST_KEY: Final = 200
# How many guesses, of which kind, with which key.
_LINE: Final = re.compile("([1-9][0-9]{0,2}) ([a-z]+) ([ -~]+)")


class SharedGuesses:
    """Sends the guesses that are counted here, and adds those of other nodes to the counters here.

    What is counted while a batch is sent goes into the next batch. No login or recipient waits for that.
    """

    def __init__(self, send: Callable[[str], Awaitable[None]], telemetry: Telemetry) -> None:
        """@param send: sends a text of at most 7,000 octets to all other nodes."""
        self._send = send
        self._telemetry = telemetry
        self._adders: dict[str, Callable[[str, int], None]] = {}
        self._counts: Counter[str] = Counter()
        self._is_sending = False

    def add_by(self, kind: str, adder: Callable[[str, int], None]) -> None:
        """Set what adds the guesses of other nodes to the counters of a kind: it gets a key and a number."""
        self._adders[kind] = adder

    def note(self, kind: str, key: str) -> None:
        """Tell other nodes of a guess, or of an accepted message that takes one back."""
        line = f"{kind} {key}"
        if len(key) <= _LONGEST_KEY and (line in self._counts or len(self._counts) < _MOST):
            self._counts[line] += 1
        if self._counts and not self._is_sending:
            self._is_sending = True
            _ = Deferred.fromCoroutine(self._send_all()).addErrback(self._failed)

    async def _send_all(self) -> None:
        try:
            while self._counts:
                await self._send(self._batch())
        finally:
            self._is_sending = False

    def _batch(self) -> str:
        lines, octets = [], 0
        for line, times in tuple(self._counts.items()):
            lines.append(f"{min(times, 999)} {line}")
            octets += len(lines[-1]) + 1
            if octets > _MOST_OCTETS:
                lines.pop()
                break
            del self._counts[line]
        return "\n".join(lines)

    def _failed(self, failure: Failure) -> None:
        self._counts.clear()
        # Without the database, no password is verified, and no recipient is found.
        if not isinstance(failure.value, StoreError):
            self._telemetry.exception("shared-guesses-exception", failure)

    def heard(self, batch: str) -> None:
        """Count the guesses of another node. What cannot be read is ignored."""
        for found in map(_LINE.fullmatch, batch.split("\n")):
            if found is not None and (adder := self._adders.get(found[2])) is not None:
                with suppress(ValueError):
                    adder(found[3], int(found[1]))
