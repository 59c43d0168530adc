"""Interfaces of a server connection to its protocol machine and to its session."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from twisted.python.failure import Failure

EventT_co = TypeVar("EventT_co", covariant=True)
EventT_contra = TypeVar("EventT_contra", contravariant=True)


class ProtocolMachine(Protocol[EventT_co]):
    """A protocol machine without I/O: it turns octets into events."""

    @property
    def waiting(self) -> int:
        """Returns how many octets were fed and not read yet."""

    def feed(self, octets: bytes) -> None:
        """Append octets from the peer."""

    def next_event(self) -> EventT_co | None:
        """Returns the next event, None until more octets arrive."""


class Dialogue(Protocol[EventT_contra]):
    """The server session behind a Connection, which calls these methods."""

    def greet(self) -> Coroutine[Any, Any, None] | None:
        """Send the greeting, at once or in the coroutine returned. With implicit TLS, called after the handshake."""

    def perform(self, event: EventT_contra) -> Coroutine[Any, Any, None] | None:
        """Act on an event: immediately, or in the coroutine returned. The next event waits for its end."""

    def failed(self, failure: Failure) -> None:
        """Log a failure of any other method here, and reply. The connection may be lost already."""

    def timed_out(self) -> None:
        """End a connection whose peer was silent for `timeOut` seconds.

        Send a reply and call `close`. If the peer does not read either, call `abort`.
        """

    def tls_began(self) -> None:
        """Go on after the handshake that `start_tls` began."""

    def ended(self, reason: Failure) -> None:
        """Release what the session holds: the connection is lost."""
