"""Snapshots of maildrops: ids, sizes and flags of their messages, kept as long as the messages are the same."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import DeferredLock

from emailsys.store.commit.database import Database

T = TypeVar("T")

# Rows of a slice: some milliseconds of a reader thread. Most maildrops are one slice.
_SLICE: Final = 2000
# Messages from which on a snapshot is kept. A smaller one is read as fast as its fingerprint.
_LEAST_KEPT: Final = 16
# Octets that a message takes in a kept snapshot: 17 in the arrays, and at most 46 in the listings of POP3.
_OCTETS_EACH: Final = 64
# Row ids are greater.
_BEFORE_ALL: Final = -1
# Of each row id, the bits that are summed. Sums of whole ids would overflow; these do not for 33 million messages. With
# 32 bits, two ids that the same node made a multiple of 1.024 seconds apart would often be the same.
_SUMMED: Final = (1 << 38) - 1


class Fingerprint(NamedTuple):
    """A value that two states of a maildrop share only if their messages are the same. Row ids are never reused."""

    messages: int
    last_id: int
    id_sum: int


class Snapshot:
    """The messages of a maildrop. Sessions share it, so it never changes, apart from the listings made of it."""

    __slots__ = ("flags", "ids", "listings", "octets")

    def __init__(self, ids: array[int], octets: array[int], flags: bytes) -> None:
        """@param flags: those of `maildrop`."""
        self.ids = ids
        self.octets = octets
        self.flags = flags
        #: Whole replies that list the messages, by command. None while no session after this one can find them here.
        self.listings: dict[str, bytes] | None = None


class _Slice(NamedTuple):
    ids: array[int]
    octets: array[int]
    flags: bytearray


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
    return _Slice(ids, octets, flags)


@lru_cache(maxsize=2)
def _select_fingerprint(placeholder: str) -> str:
    return (
        f"SELECT COUNT(*), COALESCE(MAX(row_id), 0), COALESCE(SUM(row_id & {_SUMMED}), 0)"  # noqa: S608
        f" FROM maildrop WHERE account_id = {placeholder}"
    )


def _read_fingerprint(connection: Connection, account_id: int, placeholder: str) -> Fingerprint:
    count, last_id, id_sum = connection.exec_driver_sql(_select_fingerprint(placeholder), (account_id,)).one()
    return Fingerprint(int(count), int(last_id), int(id_sum))


class Snapshots:
    """Reads snapshots, and keeps those that were used last, each with a fingerprint.

    The fingerprint is read from the database each time a maildrop is opened. Therefore a kept snapshot is used only if
    no session, process or node has added or deleted a message.

    Only one reader thread at a time works on large maildrops, so that others are not delayed.
    """

    def __init__(self, database: Database, max_octets: int) -> None:
        """@param max_octets: about how much memory the kept snapshots may take."""
        self._database = database
        self._max_messages = max_octets // _OCTETS_EACH
        self._turn = DeferredLock()
        # The last used is last.
        self._kept: OrderedDict[int, tuple[Fingerprint, Snapshot]] = OrderedDict()
        self._messages = 0

    async def read(self, account_id: int) -> Snapshot:
        """Return the snapshot of a maildrop, which the caller has locked.

        Messages that arrive meanwhile may be in it or not.
        """
        placeholder = self._database.engine.placeholder
        known = self._kept.get(account_id)

        def read(connection: Connection) -> Snapshot | _Slice:
            if known is not None and _read_fingerprint(connection, account_id, placeholder) == known[0]:
                return known[1]
            return _read_slice(connection, account_id, _BEFORE_ALL, placeholder)

        is_large = known is not None and known[0].messages >= _SLICE
        found = await (self._read_in_turn(read) if is_large else self._database.read("snapshot", read))
        if known is not None and found is known[1]:
            self._keep(account_id, *known)
            return known[1]
        assert isinstance(found, _Slice)
        return await self._read_rest(account_id, found)

    async def _read_rest(self, account_id: int, first: _Slice) -> Snapshot:
        ids, octets, flags = more = first
        while len(more.ids) == _SLICE:
            after, placeholder = ids[-1], self._database.engine.placeholder
            step = partial(_read_slice, account_id=account_id, after=after, placeholder=placeholder)
            more = await self._read_in_turn(step)
            ids.extend(more.ids)
            octets.extend(more.octets)
            flags.extend(more.flags)
        snapshot = Snapshot(ids, octets, bytes(flags))
        self._forget(account_id)
        if _LEAST_KEPT <= len(ids) <= self._max_messages:
            id_sum = sum(row_id & _SUMMED for row_id in ids)
            self._keep(account_id, Fingerprint(len(ids), ids[-1], id_sum), snapshot)
        return snapshot

    async def _read_in_turn(self, function: Callable[[Connection], T]) -> T:
        await self._turn.acquire()
        try:
            return await self._database.read("snapshot", function)
        finally:
            self._turn.release()

    def _forget(self, account_id: int) -> None:
        if account_id in self._kept:
            self._drop(*self._kept.pop(account_id))

    def _drop(self, fingerprint: Fingerprint, snapshot: Snapshot) -> None:
        self._messages -= fingerprint.messages
        snapshot.listings = None

    def _keep(self, account_id: int, fingerprint: Fingerprint, snapshot: Snapshot) -> None:
        """Keep a snapshot, and drop those that were not used for the longest time."""
        listings = snapshot.listings
        self._forget(account_id)
        self._kept[account_id] = fingerprint, snapshot
        self._messages += fingerprint.messages
        snapshot.listings = {} if listings is None else listings
        while self._messages > self._max_messages:
            _, dropped = self._kept.popitem(last=False)
            self._drop(*dropped)
