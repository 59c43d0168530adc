"""Keep messages as fast as the disk allows, and enter them into the index behind that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from typing import Final

from emailsys.client.archive.staging import Spooling, Waiting
from emailsys.client.archive.values import Addition
from emailsys.client.archive.writer import Keeper, Unentered

# What waits for the index at most while others wait for the lock: messages, octets, and seconds.
_MOST: Final = 1_000
_MOST_OCTETS: Final = 16 * 1024 * 1024
_LONGEST: Final = 1.0


class Behind:
    """Holds the store's write lock from the first message that it names until all are in the index.

    Others that want to write, or open the store, wait for that and then see all of them. If this process dies, the
    lock tells the next one, who compares files and index. Not for several threads.
    """

    def __init__(
        self,
        spooling: Spooling,
        keeper: Keeper,
        writing: Callable[[], AbstractContextManager[None]],
        now: Callable[[], datetime],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param writing: holds the write lock over an index that agrees with the files.
        @param seconds: a clock that only goes on.
        """
        self._spooling = spooling
        self._keeper = keeper
        self._writing = writing
        self._now = now
        self._seconds = seconds
        self._held = ExitStack()
        self._unentered = Unentered()
        # When the lock was taken; None while it is not held.
        self._since: float | None = None

    @property
    def is_holding(self) -> bool:
        """Whether others have to wait for `enter`."""
        return self._since is not None

    @property
    def is_due(self) -> bool:
        """Whether others have waited long enough, or much is to be entered."""
        return self._since is not None and (
            len(self._unentered.messages) >= _MOST
            or self._unentered.octets >= _MOST_OCTETS
            or self._seconds() - self._since >= _LONGEST
        )

    def add_many(self, additions: Sequence[Addition]) -> list[str]:
        """As `Archive.add_many`, for messages without marks; not in the index before `enter`."""
        with self._spooling.spooled(additions, self._now()) as waiting:
            return self.name(waiting)

    def name(self, waiting: Sequence[Waiting]) -> list[str]:
        """Name messages that are on disk already; returns their keys once the folders are on disk.

        The spools are gone at the end, those of messages that were here before, too.
        """
        unentered, since = self._unentered, self._since
        self._unentered, self._since = Unentered(), None
        # Where it fails, the lock is given back and says so: the next one compares files and index.
        with self._held.pop_all() as held:
            if since is None:
                held.enter_context(self._writing())
                since = self._seconds()
            self._keeper.name(waiting, unentered)
            self._held = held.pop_all()
        for one in waiting:
            one.spool.drop()
        self._unentered, self._since = unentered, since
        return [one.key for one in waiting]

    def enter(self) -> None:
        """Enter what was named, and give the lock back."""
        unentered, self._unentered, self._since = self._unentered, Unentered(), None
        with self._held.pop_all():
            self._keeper.enter(unentered)
