"""A database whose reads end when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from emailsys.store.commit.damage import Damage
from emailsys.telemetry import Telemetry


class RowsByKey:
    """The part of an engine that reads need: `fetch` returns the rows whose keys are among the values."""

    placeholder = "?"

    def __init__(self, rows: dict[int, tuple[Any, ...]]) -> None:
        self.rows = rows

    def fetch(self, connection: Any, statement: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """The first value is the account or the message."""
        return [self.rows[key] for key in dict.fromkeys(values[1:]) if key in self.rows]


class SlowReads:
    """Holds each read until `end` or `fail`, in the order in which they began."""

    def __init__(self, rows: dict[int, tuple[Any, ...]]) -> None:
        self.engine = RowsByKey(rows)
        self.damage = Damage(Telemetry())
        self.waiting: list[tuple[Callable[[Any], Any], Deferred[Any]]] = []

    def read(self, description: str, function: Callable[[Any], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((function, done))
        return done

    def end(self) -> None:
        """End the first read that waits."""
        function, done = self.waiting.pop(0)
        done.callback(function(None))

    def fail(self, error: Exception) -> None:
        """Fail the first read that waits."""
        self.waiting.pop(0)[1].errback(error)
