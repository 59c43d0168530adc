"""Deletes the oldest mail of `emailsys catch` from its store, so that the store does not grow for ever."""

from __future__ import annotations

import time
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from emailsys.interfaces import StoreError
from emailsys.store.commit.ids import id_number
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry
from emailsys.testing.mailbox import Inbox

# Seconds after a message was dropped. One pass then deletes what was dropped meanwhile.
_PAUSE: Final = 1.0
_MICROSECONDS: Final = 1_000_000


class Trimming:
    """Follows the inbox: what it drops is deleted from all maildrops."""

    def __init__(self, reactor: Any, store: Store, inbox: Inbox, telemetry: Telemetry) -> None:
        self._reactor, self._store, self._inbox, self._telemetry = reactor, store, inbox, telemetry
        self._waiting: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._done = 0

    def look(self) -> None:
        """Call it after each message."""
        if self._inbox.dropped > self._done and self._waiting is None and self._running is None:
            self._waiting = self._reactor.callLater(_PAUSE, self._begin)

    def _begin(self) -> None:
        self._waiting = None
        self._running = Deferred.fromCoroutine(self._trim()).addBoth(self._ended)

    async def _trim(self) -> None:
        self._done = self._inbox.dropped
        messages = self._inbox.messages
        oldest = id_number(messages[0].id) if messages else None
        if oldest is None:
            return
        try:
            # Rows get their ids at the commit of their message, after it began to arrive.
            while await self._store.retention.expire_before(oldest, int(time.time() * _MICROSECONDS)):
                pass
        except StoreError as error:
            self._telemetry.event("store-sweep-postponed", queue_id=messages[0].id, error=str(error))

    def _ended(self, result: object) -> None:
        self._running = None
        self.look()

    async def stop(self) -> None:
        """End, before the store is closed."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._done = self._inbox.dropped
        if self._running is not None:
            await self._running
