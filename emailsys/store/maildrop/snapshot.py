"""Snapshots of maildrops: ids, sizes and flags of their messages in arrays, read in slices and cached."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection, func, select
from twisted.internet.defer import DeferredLock

from emailsys.store.commit.database import Database
from emailsys.store.schema import tables

T = TypeVar("T")

# Rows of a slice: some milliseconds of a reader thread. Most maildrops are one slice.
_SLICE: Final = 2000
# Messages in the cache, over all maildrops: about 8 MiB. Maildrops of one slice are not cached.
_CACHED: Final = 500_000
# Row ids are greater.
_BEFORE_ALL: Final = -1
# Of each row id, the bits that are summed. Sums of whole ids would overflow.
_SUMMED: Final = 0xFFFF_FFFF

#: Ids, octets and flags of the messages. The flags are those of `maildrop`.
Snapshot = tuple["array[int]", "array[int]", bytearray]


class Fingerprint(NamedTuple):
    """What two states of a maildrop have in common only if their messages are the same. Row ids are never reused."""

    messages: int
    last_id: int
    id_sum: int


class _Slice(NamedTuple):
    ids: array[int]
    octets: array[int]
    flags: bytearray
    id_sum: int


@lru_cache(maxsize=8)
def _select_slice(placeholder: str, rows: int) -> str:
    return (
        f"SELECT row_id, octets, smtputf8 FROM maildrop WHERE account_id = {placeholder} AND row_id > {placeholder}"  # noqa: S608
        f" ORDER BY row_id LIMIT {rows}"
    )


def _read_slice(connection: Connection, account_id: int, after: int, placeholder: str) -> _Slice:
    """Read the next messages, oldest first. A message takes 17 octets of memory.

    @param after: the last row id of the slice before, _BEFORE_ALL for the first slice.
    """
    ids, octets, flags = array("q"), array("q"), bytearray()
    # Statement and rows of the driver: those of SQLAlchemy would cost twice as much.
    found = connection.exec_driver_sql(_select_slice(placeholder, _SLICE), (account_id, after))
    cursor = found.cursor
    assert cursor is not None
    if rows := cursor.fetchall():
        row_ids, sizes, utf8 = zip(*rows, strict=True)
        ids.extend(row_ids)
        octets.extend(sizes)
        flags.extend(map(bool, utf8))
    found.close()
    is_whole = after == _BEFORE_ALL and len(ids) < _SLICE
    return _Slice(ids, octets, flags, 0 if is_whole else sum(row_id & _SUMMED for row_id in ids))


def _read_fingerprint(connection: Connection, account_id: int) -> Fingerprint:
    row_id = tables.maildrop.c.row_id
    summed = func.coalesce(func.sum(row_id.op("&")(_SUMMED)), 0)
    asked = select(func.count(), func.coalesce(func.max(row_id), 0), summed)
    count, last_id, id_sum = connection.execute(asked.where(tables.maildrop.c.account_id == account_id)).one()
    return Fingerprint(int(count), int(last_id), int(id_sum))


class Snapshots:
    """Reads snapshots. Only one reader thread at a time works on large maildrops, so that others are not delayed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = DeferredLock()
        # Large maildrops that were opened, the last ones last. Their arrays never change.
        self._cache: OrderedDict[int, tuple[Fingerprint, Snapshot]] = OrderedDict()
        self._cached = 0

    async def read(self, account_id: int) -> Snapshot:
        """Return the snapshot of a maildrop, which the caller has locked.

        Messages that arrive meanwhile may be in it or not.
        """
        placeholder = self._database.engine.placeholder
        first = await self._database.read(
            "snapshot", lambda connection: _read_slice(connection, account_id, _BEFORE_ALL, placeholder)
        )
        if len(first.ids) < _SLICE:
            return first.ids, first.octets, first.flags
        known = self._cache.get(account_id)
        if known is not None:
            found = await self._read_in_turn(lambda connection: _read_fingerprint(connection, account_id))
            if found == known[0]:
                self._keep(account_id, *known)
                ids, octets, flags = known[1]
                return ids, octets, bytearray(flags)
        return await self._read_rest(account_id, first)

    async def _read_rest(self, account_id: int, first: _Slice) -> Snapshot:
        ids, octets, flags, id_sum = first
        more = first
        while len(more.ids) == _SLICE:
            after, placeholder = ids[-1], self._database.engine.placeholder
            step = partial(_read_slice, account_id=account_id, after=after, placeholder=placeholder)
            more = await self._read_in_turn(step)
            ids.extend(more.ids)
            octets.extend(more.octets)
            flags.extend(more.flags)
            id_sum += more.id_sum
        self._keep(account_id, Fingerprint(len(ids), ids[-1], id_sum), (ids, octets, bytearray(flags)))
        return ids, octets, flags

    async def _read_in_turn(self, function: Callable[[Connection], T]) -> T:
        await self._turn.acquire()
        try:
            return await self._database.read("snapshot", function)
        finally:
            self._turn.release()

    def _keep(self, account_id: int, fingerprint: Fingerprint, snapshot: Snapshot) -> None:
        """Put a snapshot into the cache, and remove those that were not used for the longest time."""
        replaced = self._cache.pop(account_id, None)
        if replaced is not None:
            self._cached -= replaced[0].messages
        self._cache[account_id] = fingerprint, snapshot
        self._cached += fingerprint.messages
        while self._cached > _CACHED:
            _, (removed, _snapshot) = self._cache.popitem(last=False)
            self._cached -= removed.messages
