"""A maildrop as POP3 opens it: a locked snapshot in arrays, pieces read ahead, deletes in one commit."""

from __future__ import annotations

import io
import tempfile
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import lru_cache
from typing import IO, Any, Final

from sqlalchemy import Connection, select
from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.interfaces import Fate, IMaildrop, IMaildrops, MaildropInUse, MaildropLost, StoreDamaged, StoreError
from emailsys.operations import EventKind
from emailsys.store.body.bodies import CHANGED, MISSING, UNREADABLE, LaterPieces
from emailsys.store.commit.checksum import first_checksum, is_intact
from emailsys.store.commit.database import Database, Reactor
from emailsys.store.commit.ids import id_text
from emailsys.store.engine.base import pad_to_power_of_two
from emailsys.store.ledger.endings import end_by_ids
from emailsys.store.ledger.events import Event
from emailsys.store.maildrop.locks import MaildropLocks
from emailsys.store.maintenance.sweeper import Sweeper
from emailsys.store.message.rows import PIECE_OCTETS
from emailsys.store.schema import tables
from emailsys.store.schema.columns import of_seconds

# Bits of a message's flags.
_UTF8: Final = 1
_DELETED: Final = 2
_PURGED: Final = 4

# One read brings the next messages too, where they are fetched in order: at most so many, and octets in all.
_AHEAD_MESSAGES: Final = 32
_AHEAD_OCTETS: Final = 96 * 1024
# What the ledger says of messages that their owner deleted.
_FETCHED: Final = "after it was fetched"
_NOT_FETCHED: Final = "not fetched in that session"
# Rows of the snapshot fetched at a time, and of the ledger written.
_AT_ONCE: Final = 5000


@lru_cache(maxsize=8)
def _select_messages(placeholder: str, count: int) -> str:
    names = ", ".join([placeholder] * count)
    return (
        "SELECT d.row_id, d.message_id, d.prefix, m.pieces, b.dots, b.content, b.checksum"  # noqa: S608
        " FROM maildrop d JOIN messages m ON m.message_id = d.message_id LEFT JOIN bodies b ON b.body_id = d.message_id"
        f" WHERE d.account_id = {placeholder} AND d.row_id IN ({names})"
    )


def _digests(connection: Connection, body_ids: Sequence[int]) -> dict[int, bytes | None]:
    """SHA-256 of first pieces, for those that were accepted before pieces had checksums."""
    table = tables.bodies
    found = connection.execute(select(table.c.body_id, table.c.digest).where(table.c.body_id.in_(body_ids)))
    return {row.body_id: row.digest for row in found}


class _FirstPiece:
    """A message that was read: its first octets in one or two pieces, and how many pieces are still in the store."""

    __slots__ = ("body_id", "count", "first", "rest", "wrong")

    def __init__(
        self,
        octets: int,
        digests: Mapping[int, bytes | None],
        body_id: int,
        prefix: bytes,
        count: int,
        dots: bool,
        content: bytes | None,
        stored: bytes | None,
    ) -> None:
        """
        @param octets: of the message with its prefix, as the snapshot has it.
        @param digests: by the ids of bodies without a checksum.
        """
        self.body_id = body_id
        self.count = count
        #: What is wrong with the first piece, "" for nothing.
        self.wrong = ""
        if content is None:
            self.wrong, content = MISSING, b""
        elif stored is None:
            if not is_intact(body_id, 0, dots, content, None, digests.get(body_id)):
                self.wrong = CHANGED
        elif first_checksum(content, body_id << 1 | dots) != stored:
            self.wrong = CHANGED
        whole = len(prefix) + len(content)
        #: Octets of the pieces that are still in the store.
        self.rest = octets - whole
        self.first: tuple[tuple[bytes, bool], ...]
        if whole <= PIECE_OCTETS:
            self.first = ((prefix + content, bool(dots)),)
        else:
            self.first = ((bytes(prefix), False), (bytes(content), bool(dots)))


@implementer(IMaildrops)
class Maildrops:
    """The store's door for POP3."""

    def __init__(
        self,
        database: Database,
        locks: MaildropLocks,
        sweeper: Sweeper,
        reactor: Reactor,
        takeover_after: float,
        now: Callable[[], float],
    ) -> None:
        """
        @param takeover_after: seconds of silence after which a new login in this process takes a maildrop over.
        @param now: seconds since 1970.
        """
        self._now = now
        self._events = database.engine.inserts(tables.events)
        self._database = database
        self._locks = locks
        self._reactor = reactor
        self._sweeper = sweeper
        self._takeover_after = takeover_after
        # Who holds a maildrop in this process; None while it is being opened.
        self._holders: dict[int, Maildrop | None] = {}

    async def open(self, account_id: int) -> Maildrop:
        """Lock the maildrop and take its snapshot.

        @raise MaildropInUse: a live session holds it, or another process does.
        """
        if account_id in self._holders:
            holder = self._holders[account_id]
            if holder is None or not holder.can_be_taken_over(self._reactor.seconds() - self._takeover_after):
                raise MaildropInUse()
            holder.lose()
        self._holders[account_id] = None
        try:
            fence = await self._locks.acquire(account_id)
        except BaseException:
            self._holders.pop(account_id, None)
            raise
        if fence is None:
            self._holders.pop(account_id, None)
            raise MaildropInUse()
        try:
            snapshot = await self._database.read("snapshot", lambda connection: _snapshot(connection, account_id))
        except BaseException:
            self._give_back(account_id)
            raise
        maildrop = Maildrop(self, self._database, self._reactor, account_id, fence, snapshot)
        self._holders[account_id] = maildrop
        return maildrop

    def _give_back(self, account_id: int) -> None:
        self._holders.pop(account_id, None)
        self._locks.release(account_id)

    def released(self, account_id: int, maildrop: Maildrop) -> None:
        """A session has ended."""
        if self._holders.get(account_id) is maildrop:
            self._give_back(account_id)

    def microseconds(self) -> int:
        """The time, since 1970."""
        return of_seconds(self._now())

    def record_fetched(self, connection: Connection, fetched: Sequence[tuple[int, int]], now: int) -> None:
        """Note that messages, by row and message, were fetched and left where they are."""
        make = self._database.ids.make
        events = [Event(message_id, EventKind.FETCHED, row_id) for row_id, message_id in fetched]
        self._events.insert(connection, [event.row(make(), now) for event in events])

    def wake_sweeper(self) -> None:
        """Bodies may have become free."""
        self._sweeper.wake()


Snapshot = tuple["array[int]", "array[int]", bytearray]


def _snapshot(connection: Connection, account_id: int) -> Snapshot:
    """Ids, octets and flags of the messages, oldest first: 17 octets a message."""
    ids, octets, flags = array("q"), array("q"), bytearray()
    drop = tables.maildrop
    found = connection.execute(
        select(drop.c.row_id, drop.c.octets, drop.c.smtputf8)
        .where(drop.c.account_id == account_id)
        .order_by(drop.c.row_id)
    )
    # The driver's own rows: SQLAlchemy's would cost twice as much.
    cursor = found.cursor
    assert cursor is not None
    while rows := cursor.fetchmany(_AT_ONCE):
        row_ids, sizes, utf8 = zip(*rows, strict=True)
        ids.extend(row_ids)
        octets.extend(sizes)
        flags.extend(map(bool, utf8))
    found.close()
    return ids, octets, flags


@implementer(IMaildrop)
class Maildrop:
    """An opened, locked maildrop."""

    # RFC 2449 §6.7 and §6.5, by the names of pop3.IMailbox: no delay, no expiry.
    loginDelay = 0
    messageExpiration = None

    def __init__(
        self,
        maildrops: Maildrops,
        database: Database,
        reactor: Reactor,
        account_id: int,
        fence: int,
        snapshot: Snapshot,
    ) -> None:
        self._maildrops = maildrops
        self._database = database
        self._reactor = reactor
        self._account_id = account_id
        self._fence = fence
        self._ids, self._octets, self._flags = snapshot
        self._heard_at = reactor.seconds()
        self._lost = False
        self._released = False
        self._syncing = False
        # Whether a message was ever marked as deleted.
        self._has_deletions = False
        # Messages of which all was read, by their rows; told to the ledger by `sync`.
        self._fetched: dict[int, int] = {}
        # Messages read ahead, and the one after the last that was asked for.
        self._ahead: dict[int, _FirstPiece] = {}
        # Whether to read ahead: no more, once that has met a page that cannot be read.
        self._reads_ahead = True
        self._next = 0

    def _valid_index(self, index: int) -> int:
        """Indices come from a peer: what -1 would mean to a Python list is no message."""
        if not 0 <= index < len(self._ids):
            raise ValueError("no such message")
        return index

    def can_be_taken_over(self, heard_before: float) -> bool:
        """Whether its session has said nothing since, and no delete is under way."""
        return self._heard_at <= heard_before and not self._syncing

    def lose(self) -> None:
        """Another login takes the maildrop over."""
        self._lost = True
        self._ahead.clear()

    def _raise_if_lost(self) -> None:
        if self._lost or self._released:
            raise MaildropLost()

    def listMessages(self, i: int | None = None) -> Any:
        """Octets of a message, or of all: 0 for a deleted one."""
        if i is None:
            if not self._has_deletions:
                return self._octets.tolist()
            return [0 if flag & _DELETED else size for size, flag in zip(self._octets, self._flags, strict=True)]
        return 0 if self._flags[self._valid_index(i)] & _DELETED else self._octets[i]

    def getMessage(self, index: int) -> Deferred[IO[bytes]]:
        """A file of the message; past 1 MiB it lies on disk."""
        return Deferred.fromCoroutine(self._file(self._valid_index(index)))

    async def _file(self, index: int) -> IO[bytes]:
        file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=1024 * 1024)  # noqa: SIM115 - the caller closes it
        async for piece, _dots in self.pieces(index):
            file.write(piece)
        file.seek(io.SEEK_SET)
        return file

    def getUidl(self, index: int) -> bytes:
        """The id of the row, which is never made twice (RFC 1939 §7)."""
        return id_text(self._ids[self._valid_index(index)]).encode()

    def deleteMessage(self, index: int) -> None:
        """In memory, until `sync`."""
        self._flags[self._valid_index(index)] |= _DELETED
        self._has_deletions = True

    def undeleteMessages(self) -> None:
        """What was not synced comes back."""
        for index, flag in enumerate(self._flags):
            if flag & _DELETED and not flag & _PURGED:
                self._flags[index] = flag & ~_DELETED

    def size_of(self, index: int) -> int:
        """The octets of a message, deleted or not."""
        return self._octets[self._valid_index(index)]

    def needs_utf8(self, index: int) -> bool:
        """Whether it is an SMTPUTF8 message."""
        return bool(self._flags[self._valid_index(index)] & _UTF8)

    async def pieces(self, index: int) -> AsyncIterator[tuple[bytes, bool]]:
        """The message in pieces, each with whether a line of it may begin with a dot.

        @raise MaildropLost: another session took over.
        @raise StoreDamaged: what comes next is not what was accepted.
        """
        self._valid_index(index)
        self._raise_if_lost()
        ready = self._ahead.pop(index, None)
        if ready is None:
            ready = await self._read(index)
        self._next = index + 1
        if ready.wrong:
            raise self._database.damage.report(ready.body_id, ready.wrong.format(0))
        if ready.rest or ready.count > 1 or ready.body_id in self._database.damage.known:
            rest = LaterPieces(self._database, ready.body_id, ready.count, ready.rest)
            rest.check_size()
            await rest.verify_if_damaged()
        else:
            rest = None
        for piece in ready.first:
            yield piece
        if rest is not None:
            for number in range(1, ready.count):
                self._raise_if_lost()
                yield await rest.read(number)
                self._heard_at = self._reactor.seconds()
        # Only who was given all of it comes here.
        self._fetched[self._ids[index]] = ready.body_id

    def _indices_to_read(self, index: int) -> list[int]:
        """Which messages one read shall bring: this one and, where they are fetched in order, those after it."""
        wanted = [index]
        if index == self._next and self._reads_ahead:
            octets = self._octets[index]
            for after in range(index + 1, min(index + _AHEAD_MESSAGES, len(self._ids))):
                octets += self._octets[after]
                if octets > _AHEAD_OCTETS:
                    break
                if not self._flags[after] & _DELETED:
                    wanted.append(after)
        return wanted

    async def _read(self, index: int) -> _FirstPiece:
        wanted = self._indices_to_read(index)
        by_id = {self._ids[number]: number for number in wanted}
        row_ids = pad_to_power_of_two(list(by_id))
        statement = _select_messages(self._database.engine.placeholder, len(row_ids))
        values = (self._account_id, *row_ids)

        def fetch(connection: Connection) -> tuple[Sequence[Any], Mapping[int, bytes | None]]:
            found = connection.exec_driver_sql(statement, values)
            cursor = found.cursor
            assert cursor is not None
            rows: Sequence[Any] = cursor.fetchall()
            found.close()
            old = [row[1] for row in rows if row[-1] is None]
            return rows, _digests(connection, old) if old else {}

        try:
            read, digests = await self._database.read("messages", fetch)
        except StoreDamaged as error:
            self._raise_if_lost()
            if len(wanted) > 1:
                self._reads_ahead = False
                return await self._read(index)
            raise await self._unreadable(index, error) from error
        self._raise_if_lost()
        self._ahead.clear()
        # Checksums are compared on the reactor thread: 96 KiB take some 5 µs. Python code in a reader thread would cost
        # both threads more than that in waits for the interpreter lock.
        for row_id, *row in read:
            number = by_id[row_id]
            self._ahead[number] = _FirstPiece(self._octets[number], digests, *row)
        if index not in self._ahead:
            raise StoreError("the message was removed by an administrator")
        return self._ahead.pop(index)

    async def _unreadable(self, index: int, error: StoreDamaged) -> StoreDamaged:
        """The exception for a message with a page that cannot be read; told with its id where that can be."""
        drop = tables.maildrop
        here = (drop.c.account_id == self._account_id) & (drop.c.row_id == self._ids[index])
        asked = select(drop.c.message_id).where(here)
        try:
            message_id = await self._database.read("message-id", lambda connection: connection.execute(asked).scalar())
        except StoreDamaged:
            message_id = None
        return error if message_id is None else self._database.damage.report(message_id, UNREADABLE.format(0))

    def sync(self) -> Deferred[None]:
        """Delete for good, in one commit; fires when that is on disk, or fails with MaildropLost or StoreError."""
        return Deferred.fromCoroutine(self._sync())

    async def _sync(self) -> None:
        self._raise_if_lost()
        gone = [index for index, flag in enumerate(self._flags) if flag & (_DELETED | _PURGED) == _DELETED]
        row_ids = [self._ids[index] for index in gone]
        deleted = set(row_ids)
        kept = [(row_id, message_id) for row_id, message_id in self._fetched.items() if row_id not in deleted]
        if not gone and not kept:
            return
        now = self._maildrops.microseconds()
        self._syncing = True
        try:
            await self._database.run("sync", lambda connection: self._write(connection, row_ids, kept, now))
        finally:
            self._syncing = False
            if self._released:
                self._maildrops.released(self._account_id, self)
        for index in gone:
            self._flags[index] |= _PURGED
        self._fetched.clear()
        if gone:
            self._maildrops.wake_sweeper()

    def _write(self, connection: Connection, row_ids: Sequence[int], kept: Sequence[tuple[int, int]], now: int) -> None:
        if self._fence:
            account = tables.accounts
            fence = connection.execute(
                select(account.c.fence).where(account.c.account_id == self._account_id).with_for_update()
            ).scalar()
            if fence != self._fence:
                raise MaildropLost()
        placeholder, account_id = self._database.engine.placeholder, self._account_id
        for fetched, words in ((True, _FETCHED), (False, _NOT_FETCHED)):
            ended = [row_id for row_id in row_ids if (row_id in self._fetched) is fetched]
            end_by_ids(connection, placeholder, account_id, ended, Fate.DELETED, now, words)
        for start in range(0, len(kept), _AT_ONCE):
            self._maildrops.record_fetched(connection, kept[start : start + _AT_ONCE], now)

    def touch(self) -> None:
        """The client has just spoken."""
        self._heard_at = self._reactor.seconds()

    def release(self) -> None:
        """Give up the lock; deletes that were not synced are void."""
        if self._released:
            return
        self._released = True
        self._ahead.clear()
        # Who opens it next must not see what a commit under way is deleting.
        if not self._syncing:
            self._maildrops.released(self._account_id, self)
