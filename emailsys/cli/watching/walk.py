"""Explanations of the events of one conversation as they come."""

from __future__ import annotations

from emailsys.wiretap.conversation import Event
from emailsys.wiretap.explain import Explanation, explained


class Walk:
    """Explains one event after the other: a reply means what it answers."""

    def __init__(self, protocol: str) -> None:
        self._next: list[Event] = []
        self._explained = explained(protocol, iter(self._pop, None))

    def _pop(self) -> Event | None:
        return self._next.pop() if self._next else None

    def step(self, event: Event) -> Explanation:
        """Explain the next event."""
        self._next.append(event)
        return next(self._explained)[1]
