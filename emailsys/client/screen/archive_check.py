"""Check for changes that other programs made in the archive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from emailsys.client.archive.snooze import wake
from emailsys.client.mailbox import UserMailbox


class ArchiveCheck:
    """Brings back snoozed messages, and the index and the list up to date. One check runs at a time."""

    def __init__(
        self, mailbox: UserMailbox, reload: Callable[[], Awaitable[None]], show_status: Callable[[str, bool], None]
    ) -> None:
        self._mailbox = mailbox
        self._reload = reload
        self._show_status = show_status
        self._is_running = False
        # The version of the index that the list shows.
        self._version: int | None = None

    def _refresh(self) -> int:
        wake(self._mailbox.archive, self._mailbox.now())
        return self._mailbox.archive.refresh()

    async def run(self) -> None:
        """Check the archive. Does nothing if the last check still runs, for example on a slow disk."""
        if self._is_running:
            return
        self._is_running = True
        try:
            version = await asyncio.to_thread(self._refresh)
            if version != self._version:
                # Before the list is loaded: if that fails, it is told once, and not in each check.
                self._version = version
                await self._reload()
        finally:
            self._is_running = False
        reports = self._mailbox.archive.reports
        while reports:
            self._show_status(reports.pop(0), True)
