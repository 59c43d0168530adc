"""The maildrops of the store in memory."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from emailsys.interfaces import (
    BEFORE_ALL,
    Fate,
    IMaildrop,
    IMaildropReading,
    IMaildrops,
    Listed,
    MaildropInUse,
    MaildropLost,
    StoreError,
)
from emailsys.interfaces.operators import EventKind

PIECE_OCTETS = 256 * 1024


@implementer(IMaildrops)
class MemoryMaildrops:
    """The door for POP3."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.open_drops: dict[int, MemoryMaildrop] = {}

    async def open(self, account_id: int) -> MemoryMaildrop:
        store = self._store
        holder = self.open_drops.get(account_id)
        if holder is not None:
            if store.clock.seconds() - holder.heard_at < store.takeover_after:
                raise MaildropInUse()
            holder.lost = True
        maildrop = MemoryMaildrop(store, account_id)
        self.open_drops[account_id] = maildrop
        return maildrop

    async def give_up(self, account_id: int) -> bool:
        holder = self.open_drops.get(account_id)
        if holder is None or self._store.clock.seconds() - holder.heard_at < self._store.takeover_after:
            return False
        holder.lost = True
        del self.open_drops[account_id]
        return True


@implementer(IMaildropReading)
class MemoryReading:
    """The door for browsers."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def _rows(self, account_id: int) -> dict[str, Any]:
        return {row.uid: row for row in self._store.drops.get(account_id, ())}

    async def page(self, account_id: int, count: int, before: str = "", after: str = "") -> Sequence[Listed]:
        is_from_start = after == BEFORE_ALL
        if any(uid and not uid.startswith("U") for uid in (before, "" if is_from_start else after)):
            return ()
        fitting = [
            uid
            for uid in sorted(self._rows(account_id), reverse=not after)
            if (not before or uid < before) and (not after or is_from_start or uid > after)
        ]
        found = [await self.find(account_id, uid) for uid in sorted(fitting[:count], reverse=True)]
        return tuple(one for one in found if one is not None)

    async def find(self, account_id: int, uid: str) -> Listed | None:
        row = self._rows(account_id).get(uid)
        if row is None:
            return None
        return Listed(uid, row.message.queue_id, len(row.octets), row.message.envelope.arrived_at)

    async def heads(self, account_id: int, uids: Sequence[str], octets: int) -> Mapping[str, bytes]:
        rows = self._rows(account_id)
        return {uid: rows[uid].octets[:octets] for uid in uids if uid in rows}

    async def read(self, account_id: int, uids: Collection[str]) -> frozenset[str]:
        rows = self._rows(account_id)
        return frozenset(uid for uid in uids if uid in rows and rows[uid].row_id in self._store.read_rows)

    async def pieces(self, account_id: int, uid: str) -> AsyncIterator[bytes]:
        row = self._rows(account_id).get(uid)
        if row is None:
            raise StoreError("the message is deleted")
        for start in range(0, len(row.octets), PIECE_OCTETS):
            if self._store.fail_reads is not None:
                raise self._store.fail_reads
            yield row.octets[start : start + PIECE_OCTETS]

    async def note_read(self, account_id: int, uid: str) -> None:
        row = self._rows(account_id).get(uid)
        if row is not None and row.row_id not in self._store.read_rows:
            self._store.read_rows.add(row.row_id)
            self._store.tell(row.message, EventKind.FETCHED, uid=row.uid)

    async def delete(self, account_id: int, uids: Collection[str]) -> int:
        if account_id in self._store.maildrops.open_drops:
            raise MaildropInUse()
        gone = {uid: row for uid, row in self._rows(account_id).items() if uid in uids}
        for row in gone.values():
            row.message.ended[row.row_id] = Fate.DELETED
            self._store.tell(row.message, EventKind.DELETED, uid=row.uid)
        left = [row for row in self._store.drops.get(account_id, ()) if row not in gone.values()]
        self._store.drops[account_id] = left
        return len(gone)


@implementer(IMaildrop)
class MemoryMaildrop:
    """An opened, locked maildrop."""

    loginDelay = 0
    messageExpiration = None
    has_exact_sizes = True

    def __init__(self, store: Any, account_id: int) -> None:
        self._store = store
        self._account_id = account_id
        self._rows = list(store.drops.get(account_id, ()))
        self._deleted: set[int] = set()
        self._purged: set[int] = set()
        self._fetched: set[int] = set()
        # The message that was read ahead.
        self._next = -1
        self.heard_at = store.clock.seconds()
        self.lost = False
        self.released = False

    def _row(self, index: int) -> Any:
        if not 0 <= index < len(self._rows):
            raise ValueError("no such message")
        return self._rows[index]

    def listMessages(self, i: int | None = None) -> Any:
        if i is None:
            return [0 if n in self._deleted else len(row.octets) for n, row in enumerate(self._rows)]
        return 0 if i in self._deleted else len(self._row(i).octets)

    def getMessage(self, index: int) -> Deferred[io.BytesIO]:
        return succeed(io.BytesIO(self._row(index).octets))

    def getUidl(self, index: int) -> bytes:
        uid: str = self._row(index).uid
        return uid.encode()

    def deleteMessage(self, index: int) -> None:
        self._row(index)
        self._deleted.add(index)

    def undeleteMessages(self) -> None:
        self._deleted = set(self._purged)

    def sync(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._sync())

    async def _sync(self) -> None:
        store = self._store
        if self.lost or self.released:
            raise MaildropLost()
        if self._deleted == self._purged and not self._fetched:
            return
        await store.before_commit()
        for index in self._deleted - self._purged:
            row = self._rows[index]
            row.message.ended[row.row_id] = Fate.DELETED
            store.tell(row.message, EventKind.DELETED, uid=row.uid)
        for index in self._fetched - self._deleted:
            store.tell(self._rows[index].message, EventKind.FETCHED, uid=self._rows[index].uid)
            store.read_rows.add(self._rows[index].row_id)
        self._fetched.clear()
        self._purged = set(self._deleted)
        gone = {self._rows[index].row_id for index in self._deleted}
        store.drops[self._account_id] = [row for row in store.drops.get(self._account_id, ()) if row.row_id not in gone]

    @property
    def listings(self) -> dict[str, bytes] | None:
        messages = tuple(row.row_id for row in self._rows)
        return None if self._deleted else self._store.listings.setdefault(messages, {})

    def needs_utf8(self, index: int) -> bool:
        return bool(self._row(index).message.envelope.parameters.smtputf8)

    def whole_message(self, index: int) -> tuple[bytes, bool] | None:
        """As after a read of the messages that follow the last one fetched."""
        if index != self._next or index >= len(self._rows) or index in self._deleted or self.needs_utf8(index):
            return None
        octets = self._row(index).octets
        is_ready = len(octets) <= PIECE_OCTETS
        if not is_ready or self.lost or self.released or self._store.fail_reads is not None:
            return None
        self._next = index + 1
        self._fetched.add(index)
        return octets, octets.startswith(b".") or b"\n." in octets

    async def pieces(self, index: int) -> AsyncIterator[tuple[bytes, bool]]:
        octets = self._row(index).octets
        for start in range(0, len(octets), PIECE_OCTETS):
            if self.lost or self.released:
                raise MaildropLost()
            if self._store.fail_reads is not None:
                raise self._store.fail_reads
            piece = octets[start : start + PIECE_OCTETS]
            yield piece, piece.startswith(b".") or b"\n." in piece
        self._fetched.add(index)
        self._next = index + 1

    def touch(self) -> None:
        self.heard_at = self._store.clock.seconds()

    def release(self) -> None:
        self.released = True
        if self._store.maildrops.open_drops.get(self._account_id) is self:
            del self._store.maildrops.open_drops[self._account_id]
