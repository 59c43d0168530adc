"""Reads of messages: one read returns a message and, if messages are fetched in order, the next ones.

While a client fetches the last messages of one read, the next read is in progress.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.interfaces import StoreDamaged, StoreError
from emailsys.store.commit.database import Database
from emailsys.store.engine.base import pad_to_power_of_two
from emailsys.store.maildrop.first_piece import FirstPiece, Row, select_messages

# Limits of one read.
_MESSAGES: Final = 32
_OCTETS: Final = 96 * 1024
# The next read begins when fewer messages and no more octets than these are left. A client takes as long for them as a
# reader thread for the read. Without the limit of octets, one session could hold seven messages of 48 KiB and a read.
_FEW: Final = 8
_FEW_OCTETS: Final = _OCTETS // 2


class _Coming:
    """A read in progress that no client waits for yet."""

    __slots__ = ("ended", "wanted")

    def __init__(self, wanted: Sequence[int]) -> None:
        self.wanted = wanted
        #: Fires when the read has ended, in whatever way.
        self.ended: Deferred[None] = Deferred()


class ReadAhead:
    """Reads the first pieces of the messages of one session."""

    def __init__(
        self, database: Database, account_id: int, ids: array[int], octets: array[int], flags: bytearray, unwanted: int
    ) -> None:
        """
        @param ids: the row ids of the messages. @param octets: their sizes.
        @param unwanted: a flag of messages that are not read ahead.
        """
        self._database = database
        self._account_id = account_id
        self._ids = ids
        self._octets = octets
        self._flags = flags
        self._unwanted = unwanted
        # Turned off when a read meets an unreadable page, and when the session ends.
        self._is_on = True
        self._coming: _Coming | None = None
        # The message after the last one that was taken, and after the last one that was read.
        self._next = 0
        self._unread = 0
        #: Messages that were read and not taken, by index.
        self.ready: dict[int, Row] = {}

    def take(self, index: int) -> FirstPiece | None:
        """Return a message that was read ahead, or None."""
        row = self.ready.get(index)
        if row is None:
            return None
        self.drop(index)
        return FirstPiece(self._octets[index], row)

    def drop(self, index: int) -> None:
        """Drop a message from `ready`, because it was taken, and read on."""
        del self.ready[index]
        self._next = index + 1
        if len(self.ready) < _FEW:
            self._read_on()

    def _read_on(self) -> None:
        if self._coming is not None or not self._is_on:
            return
        if sum(self._octets[index] for index in self.ready) <= _FEW_OCTETS:
            wanted = self._choose(self._unread, 0)
            if wanted:
                self._begin(wanted)

    def _choose(self, first: int, octets: int) -> list[int]:
        """Choose the messages to read ahead from `first` on, beside those that have so many octets."""
        sizes = self._octets[first : self._next + _MESSAGES]
        fitting = bisect_right(list(accumulate(sizes, initial=octets)), _OCTETS) - 1
        flags, unwanted = self._flags, self._unwanted
        return [index for index in range(first, first + fitting) if not flags[index] & unwanted]

    def _begin(self, wanted: Sequence[int]) -> None:
        coming = self._coming = _Coming(wanted)
        self._unread = wanted[-1] + 1
        # A client may wait for `ended`: `_failed` also gets what `_came` raises, such as for a value of a wrong type.
        _ = self._fetch(wanted).addCallback(self._came, coming).addErrback(self._failed, coming)

    def _came(self, rows: Sequence[Row], coming: _Coming) -> None:
        if self._coming is coming:
            self._coming = None
            self.ready.update(self._by_index(coming.wanted, rows))
        coming.ended.callback(None)

    def _failed(self, failure: Failure, coming: _Coming) -> None:
        """A client that requests one of the messages reads it again, and is told why that fails."""
        if self._coming is coming:
            self._coming = None
        if failure.check(StoreDamaged):
            self._is_on = False
        coming.ended.callback(None)

    async def read(self, index: int) -> FirstPiece:
        """Read a message, and the next ones into `ready`.

        @raise StoreDamaged: a page of the message is unreadable.
        """
        coming = self._coming
        if coming is not None and index in coming.wanted:
            await coming.ended
            found = self.take(index)
            if found is not None:
                return found
        wanted = [index]
        is_in_order = index == self._next and self._is_on
        if is_in_order:
            wanted += self._choose(index + 1, self._octets[index])
        # A client that fetches in another order does not need what is still being read.
        self._coming = None
        self._unread = wanted[-1] + 1
        try:
            rows = await self._fetch(wanted)
        except StoreDamaged:
            if len(wanted) == 1:
                raise
            self._is_on = False
            return await self.read(index)
        read = self._by_index(wanted, rows)
        if index not in read:
            raise StoreError("the message was removed by an administrator")
        found = FirstPiece(self._octets[index], read.pop(index))
        self.ready = read if self._is_on else {}
        self._next = index + 1
        if is_in_order and len(read) < _FEW:
            self._read_on()
        return found

    def _fetch(self, wanted: Sequence[int]) -> Deferred[Sequence[Row]]:
        engine = self._database.engine
        row_ids = pad_to_power_of_two([self._ids[index] for index in wanted])
        statement = select_messages(engine.placeholder, len(row_ids))
        values = (self._account_id, *row_ids)

        return self._database.read("messages", lambda connection: engine.fetch(connection, statement, values))

    def _by_index(self, wanted: Sequence[int], rows: Sequence[Row]) -> dict[int, Row]:
        index_of = {self._ids[index]: index for index in wanted}
        return {index_of[row[0]]: row for row in rows}

    def close(self) -> None:
        """Drop what was read and what is being read, because the session has ended."""
        self._is_on = False
        self._coming = None
        self.ready = {}
