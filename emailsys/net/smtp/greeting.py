"""The moment of the greeting: clients that talk before it are noticed (RFC 5321 §4.3.1)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater


def has_input(transport: Any) -> bool:
    """Whether the peer has sent octets that have not been read yet. Call before the connection is first read."""
    tcp = getattr(transport, "socket", None)
    if tcp is None:
        return False
    try:
        return bool(tcp.recv(1, socket.MSG_PEEK))
    except OSError:
        # The usual case is that there is nothing. A reset is reported by the transport.
        return False


class GreetingWait:
    """The wait before a greeting, which ends early if the connection is lost."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: Deferred[None] | None = None

    async def then(self, seconds: float, greet: Callable[[], None]) -> None:
        """Wait, then greet; after `cancel`, do not."""
        self._waiting = deferLater(self._clock, seconds)
        try:
            await self._waiting
        except CancelledError:
            return
        finally:
            self._waiting = None
        greet()

    @property
    def is_on(self) -> bool:
        """Whether the greeting is still to come."""
        return self._waiting is not None

    def cancel(self) -> None:
        """End the wait without a greeting. Does nothing if there is none."""
        if self._waiting is not None:
            self._waiting.cancel()
