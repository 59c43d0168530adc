"""Hints between nodes: rows of the queue are due that another node may deliver sooner."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from twisted.internet.defer import Deferred

from emailsys.interfaces import StoreError
from emailsys.store.node.notices import Notices

# The word of the notice.
_WORD: Final = "queue"


class QueueHints:
    """Sends hints, and calls `heard` for those of other processes. A hint that is lost costs time, and no mail."""

    def __init__(self, notices: Notices, heard: Callable[[], None]) -> None:
        self._notices = notices
        notices.hear(_WORD, lambda rest: heard())

    async def send(self) -> None:
        """Tell all other processes to look into the queue."""
        with suppress(StoreError):
            await self._notices.send(_WORD, "")

    def begin(self) -> None:
        """Like `send`, without waiting."""
        if self._notices.reach_nodes:
            _ = Deferred.fromCoroutine(self.send())
