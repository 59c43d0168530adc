"""TLS handshake of a recorded connection: from the octets of both sides to events, and nothing kept after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from emailsys.wiretap.conversation import Direction, Event, Kind


class Observer(Protocol):
    """Reads one handshake, such as `emailsys.wiretap.tls.observer.TLSObserver`. Each method returns the new events."""

    @property
    def is_over(self) -> bool:
        """Whether further octets do not matter."""

    def feed(self, direction: Direction, octets: bytes, at: float) -> Sequence[Event]:
        """Octets on the wire."""

    def key_log(self, line: bytes) -> Sequence[Event]:
        """A line of the key log."""

    def established(self, at: float) -> Sequence[Event]:
        """The TLS library regards the handshake as complete."""

    def finish(self) -> Sequence[Event]:
        """The connection is closed."""


class HandshakeRecord:
    """Passes octets to an observer until the handshake is over, and then drops it with its secrets."""

    def __init__(
        self, observe: Callable[[], Observer] | None, now: Callable[[], float], happened: Callable[[Event], None]
    ) -> None:
        """
        @param observe: makes the observer when TLS begins; None for none.
        @param now: seconds since the conversation began. @param happened: called with each event.
        """
        self._observe = observe
        self._now = now
        self._happened = happened
        self._observer: Observer | None = None
        self._has_told = False

    def feed(self, octets: bytes, is_inbound: bool) -> None:
        """Octets on the wire."""
        if self._observer is None:
            if self._observe is None or not octets:
                return
            self._observer = self._observe()
            self._observe = None
        self._tell(self._observer.feed(Direction.IN if is_inbound else Direction.OUT, octets, self._now()))
        if self._observer.is_over:
            self.finish()

    def key_log(self, line: bytes) -> None:
        """A line of the key log."""
        if self._observer is not None:
            self._tell(self._observer.key_log(line))

    def established(self) -> bool:
        """The TLS library regards the handshake as complete. Return whether an event has said what was agreed on."""
        if self._observer is not None:
            self._tell(self._observer.established(self._now()))
        return self._has_told

    def finish(self) -> None:
        """The handshake is over. A second call does nothing."""
        observer, self._observer = self._observer, None
        if observer is not None:
            self._tell(observer.finish())

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            self._has_told = self._has_told or event.kind is Kind.SECURED
            self._happened(event)
