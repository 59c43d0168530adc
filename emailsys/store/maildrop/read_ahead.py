"""Reads of messages: one read returns a message and, if messages are fetched in order, the next ones."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from emailsys.interfaces import StoreDamaged, StoreError
from emailsys.store.commit.database import Database
from emailsys.store.engine.base import pad_to_power_of_two
from emailsys.store.maildrop.first_piece import FirstPiece, read_digests, select_messages

# Limits of one read.
_MESSAGES: Final = 32
_OCTETS: Final = 96 * 1024


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
        # Turned off when a read meets an unreadable page.
        self._is_on = True
        #: Messages that were read and not taken, by index.
        self.ready: dict[int, FirstPiece] = {}
        #: The message after the last one that was taken.
        self.next = 0

    def _indices(self, index: int) -> list[int]:
        """Choose the messages for one read."""
        wanted = [index]
        if index == self.next and self._is_on:
            octets = self._octets[index]
            for after in range(index + 1, min(index + _MESSAGES, len(self._ids))):
                octets += self._octets[after]
                if octets > _OCTETS:
                    break
                if not self._flags[after] & self._unwanted:
                    wanted.append(after)
        return wanted

    async def read(self, index: int) -> FirstPiece:
        """Read a message, and the next ones into `ready`.

        @raise StoreDamaged: a page of the message is unreadable.
        """
        wanted = self._indices(index)
        by_id = {self._ids[number]: number for number in wanted}
        row_ids = pad_to_power_of_two(list(by_id))
        statement = select_messages(self._database.engine.placeholder, len(row_ids))
        values = (self._account_id, *row_ids)

        def fetch(connection: Connection) -> tuple[Sequence[Any], Mapping[int, bytes | None]]:
            found = connection.exec_driver_sql(statement, values)
            cursor = found.cursor
            assert cursor is not None
            rows: Sequence[Any] = cursor.fetchall()
            found.close()
            old = [row[1] for row in rows if row[-1] is None]
            return rows, read_digests(connection, old) if old else {}

        try:
            read, digests = await self._database.read("messages", fetch)
        except StoreDamaged:
            if len(wanted) == 1:
                raise
            self._is_on = False
            return await self.read(index)
        self.ready.clear()
        # Checksums are compared in the reactor thread: 96 KiB take about 5 µs. Python code in a reader thread would
        # cost both threads more time waiting for the interpreter lock.
        for row in read:
            number = by_id[row[0]]
            self.ready[number] = FirstPiece(self._octets[number], digests, row)
        if index not in self.ready:
            raise StoreError("the message was removed by an administrator")
        return self.ready.pop(index)
