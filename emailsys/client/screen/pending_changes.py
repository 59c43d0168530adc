"""Changes of messages that the screen shows already, but that are not on disk yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from emailsys.client.archive.values import Folder, Summary

T = TypeVar("T")


class PendingChanges:
    """Runs changes one after the other, in the order of the keys, and shows lists as they are after them."""

    def __init__(self) -> None:
        self._running = asyncio.Lock()
        self._leaving: set[tuple[str, Folder]] = set()
        self._marked: dict[str, Summary] = {}
        #: Counts what began and what ended. A list that was read while it changed is out of date.
        self.number = 0
        # Changes whose work has not ended, and changes that failed so far.
        self._unfinished = self._failed = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, leaving: Sequence[Summary] = (), marked: Sequence[Summary] = ()) -> None:
        """Begin a change. @param leaving: messages that leave their folders. @param marked: with their new marks."""
        self.number += 1
        self._leaving.update((one.key, one.folder) for one in leaving)
        self._marked.update((one.key, one) for one in marked)

    async def run(self, work: Callable[[], T], leaving: Sequence[Summary] = (), marked: Sequence[Summary] = ()) -> T:
        """Run the work of a change in a thread, after that of earlier ones. The change ends with it."""
        try:
            with self._counted():
                async with self._running:
                    return await asyncio.to_thread(work)
        finally:
            self.number += 1
            self._leaving.difference_update((one.key, one.folder) for one in leaving)
            for one in marked:
                if self._marked.get(one.key) is one:
                    del self._marked[one.key]

    async def run_beside(self, work: Callable[[], T]) -> T:
        """Run work in a thread, while changes go on. `wait` waits for it, too."""
        with self._counted():
            return await asyncio.to_thread(work)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._unfinished += 1
        self._idle.clear()
        try:
            yield
        except BaseException:
            self._failed += 1
            raise
        finally:
            self._unfinished -= 1
            if not self._unfinished:
                self._idle.set()

    async def wait(self) -> bool:
        """Wait until all changes of earlier keys are on disk. Return False if one of them failed meanwhile."""
        failed = self._failed
        # The workers of the last keys begin their changes in this turn of the event loop.
        await asyncio.sleep(0)
        await self._idle.wait()
        return failed == self._failed

    def applied_to(self, rows: Sequence[Summary]) -> list[Summary]:
        """Return messages that were read from the archive as they are after the changes."""
        return [
            replace(one, flags=marked.flags, tags=marked.tags) if (marked := self._marked.get(one.key)) else one
            for one in rows
            if (one.key, one.folder) not in self._leaving
        ]
