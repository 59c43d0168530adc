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
        # The error of the last check that was told.
        self._failure = ""
        # The reports of the last check.
        self._told: set[str] = set()

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
                await self._reload()
                self._version = version
            self._failure = ""
        except Exception as error:
            # The next check tries again, but what lasts is told once.
            if str(error) != self._failure:
                self._failure = str(error)
                raise
        finally:
            self._is_running = False
        reports, told = self._mailbox.archive.reports, self._told
        self._told = set()
        while reports:
            text = reports.pop(0)
            self._told.add(text)
            if text not in told:
                self._show_status(text, True)
