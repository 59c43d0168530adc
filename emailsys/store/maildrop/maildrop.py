"""Maildrops for POP3: a locked snapshot, messages read by piece, deletes in one commit."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from typing import IO, Any, Final

from sqlalchemy import Connection, select
from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.interfaces import Fate, IMaildrop, IMaildrops, MaildropInUse, MaildropLost, StoreDamaged, StoreError
from emailsys.interfaces.operators import EventKind
from emailsys.store.body.pieces import UNREADABLE, AheadLimit, LaterPieces
from emailsys.store.commit.database import Database, Reactor
from emailsys.store.commit.ids import id_text
from emailsys.store.ledger.endings import end_by_ids
from emailsys.store.ledger.events import Event
from emailsys.store.maildrop.first_piece import FirstPiece, whole_text
from emailsys.store.maildrop.locks import MaildropLocks
from emailsys.store.maildrop.read_ahead import ReadAhead
from emailsys.store.maildrop.snapshot import Snapshot, Snapshots
from emailsys.store.maintenance.sweeper import Sweeper
from emailsys.store.schema import tables
from emailsys.store.schema.columns import of_seconds

# Flag bits of a message in the snapshot.
_UTF8: Final = 1
_DELETED: Final = 2
_PURGED: Final = 4

# Reasons in the ledger for messages that their owner deleted.
_FETCHED: Final = "after it was fetched"
_NOT_FETCHED: Final = "not fetched in that session"
# Events that one step records.
_EVENTS_AT_ONCE: Final = 5000
# Pieces of large messages that all sessions together read ahead: 8 MiB.
_PIECES_AHEAD: Final = 32


@implementer(IMaildrops)
class Maildrops:
    """Opens maildrops for POP3 sessions."""

    def __init__(
        self,
        database: Database,
        locks: MaildropLocks,
        sweeper: Sweeper,
        reactor: Reactor,
        takeover_after: float,
        now: Callable[[], float],
        max_kept_octets: int,
    ) -> None:
        """
        @param takeover_after: seconds of silence after which a new login takes over a maildrop.
        @param now: seconds since 1970.
        @param max_kept_octets: memory for snapshots that are kept for the next session.
        """
        self._now = now
        self._events = database.engine.inserts(tables.events)
        self._database = database
        self._locks = locks
        self._reactor = reactor
        self._sweeper = sweeper
        self._takeover_after = takeover_after
        self._snapshots = Snapshots(database, max_kept_octets)
        #: Limits the pieces of large messages that the sessions read ahead.
        self.ahead_limit = AheadLimit(_PIECES_AHEAD)
        # The open maildrops of this process by account. None while a maildrop is being opened.
        self._holders: dict[int, Maildrop | None] = {}
        #: Asks other processes of the same daemon to give up a maildrop; returns whether one of them did.
        self.ask_others: Callable[[int], Awaitable[bool]] | None = None
        locks.answer_by(self._answer)

    async def open(self, account_id: int) -> Maildrop:
        """Lock the maildrop and read its snapshot.

        @raise MaildropInUse: an active session or another process has locked it.
        """
        if account_id in self._holders:
            holder = self._holders[account_id]
            if holder is None or not holder.can_be_taken_over(self._reactor.seconds() - self._takeover_after):
                raise MaildropInUse()
            holder.lose()
        fence = await self._acquire(account_id, takes_over=True)
        try:
            snapshot = await self._snapshots.read(account_id)
        except BaseException:
            self.unlock(account_id)
            raise
        maildrop = Maildrop(self, self._database, self._reactor, account_id, fence, snapshot)
        self._holders[account_id] = maildrop
        return maildrop

    async def give_up(self, account_id: int) -> bool:
        """Release a maildrop for a login in another process, if its session may be taken over. Returns whether."""
        holder = self._holders.get(account_id)
        if holder is None or not holder.can_be_taken_over(self._reactor.seconds() - self._takeover_after):
            return False
        holder.lose()
        self.unlock(account_id)
        await self._locks.settle()
        return True

    async def _answer(self, account_id: int) -> bool | None:
        """Answer the request of another node for a maildrop: see `MaildropRequests.answer`."""
        return await self.give_up(account_id) if self._holders.get(account_id) is not None else None

    async def _ask(self, account_id: int) -> bool:
        """Ask the other processes of the daemon, then other nodes. Returns whether the maildrop is free now."""
        if self.ask_others is not None and await self.ask_others(account_id):
            return True
        return await self._locks.ask(account_id, self._takeover_after)

    async def _acquire(self, account_id: int, takes_over: bool = False) -> int:
        self._holders[account_id] = None
        try:
            fence = await self._locks.acquire(account_id)
            if fence is None and takes_over and await self._ask(account_id):
                fence = await self._locks.acquire(account_id)
            if fence is None:
                raise MaildropInUse()
        except BaseException:
            self._holders.pop(account_id, None)
            raise
        return fence

    async def lock(self, account_id: int) -> int:
        """Lock a maildrop for one commit, which the caller ends with `unlock`. Takes over no session.

        @return: the fencing number, for `check_fence`.
        @raise MaildropInUse: a session or another process has locked it.
        """
        if account_id in self._holders:
            raise MaildropInUse()
        return await self._acquire(account_id)

    def unlock(self, account_id: int) -> None:
        """Release the lock."""
        self._holders.pop(account_id, None)
        self._locks.release(account_id)

    def check_fence(self, connection: Connection, account_id: int, fence: int) -> None:
        """Raise MaildropLost, inside a commit, if another node has taken over the lock."""
        if not fence:
            return
        account = tables.accounts
        latest = select(account.c.fence).where(account.c.account_id == account_id).with_for_update()
        if connection.execute(latest).scalar() != fence:
            raise MaildropLost()

    def released(self, account_id: int, maildrop: Maildrop) -> None:
        """Release the lock of a maildrop, unless another session has taken it over."""
        if self._holders.get(account_id) is maildrop:
            self.unlock(account_id)

    def microseconds(self) -> int:
        """Return the time in microseconds since 1970."""
        return of_seconds(self._now())

    def record_fetched(self, connection: Connection, fetched: Sequence[tuple[int, int]], now: int) -> None:
        """Record that messages were fetched and stay in the maildrop.

        @param fetched: pairs of row id and message id.
        @param now: microseconds since 1970.
        """
        make = self._database.ids.make
        events = [Event(message_id, EventKind.FETCHED, row_id) for row_id, message_id in fetched]
        self._events.insert(connection, [event.row(make(), now) for event in events])

    def wake_sweeper(self) -> None:
        """Wake the sweeper, because bodies may have become free."""
        self._sweeper.wake()


@implementer(IMaildrop)
class Maildrop:
    """An open, locked maildrop."""

    # LOGIN-DELAY (RFC 2449 §6.5) and EXPIRE (§6.7), with the names of pop3.IMailbox: no delay, no expiry.
    loginDelay = 0
    messageExpiration = None
    has_exact_sizes = True

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
        self._known_damage = database.damage.known
        self._reactor = reactor
        self._account_id = account_id
        self._fence = fence
        self._snapshot = snapshot
        self._ids, self._octets = snapshot.ids, snapshot.octets
        self._flags = bytearray(snapshot.flags)
        self._last_command_at = reactor.seconds()
        self._lost = False
        self._released = False
        self._syncing = False
        # Whether any message was ever marked as deleted.
        self._has_deletions = False
        # Message ids by row id of the messages that were read completely. `sync` records them in the ledger.
        self._fetched: dict[int, int] = {}
        self._ahead = ReadAhead(database, account_id, self._ids, self._octets, self._flags, _DELETED)

    def _valid_index(self, index: int) -> int:
        """Check an index, which comes from a client: -1 must not select the last message of a Python list.

        @raise ValueError: there is no such message.
        """
        if not 0 <= index < len(self._ids):
            raise ValueError("no such message")
        return index

    def can_be_taken_over(self, silent_since: float) -> bool:
        """Whether the session has been silent since a time and no delete is in progress."""
        return self._last_command_at <= silent_since and not self._syncing

    def lose(self) -> None:
        """End the session's access, because another login takes over the maildrop."""
        self._lost = True
        self._ahead.close()

    def _raise_if_lost(self) -> None:
        if self._lost or self._released:
            raise MaildropLost()

    def listMessages(self, i: int | None = None) -> Any:
        """Return the octets of a message, or of all messages: 0 for deleted ones."""
        if i is None:
            if not self._has_deletions:
                return self._octets.tolist()
            return [0 if flag & _DELETED else size for size, flag in zip(self._octets, self._flags, strict=True)]
        return 0 if self._flags[self._valid_index(i)] & _DELETED else self._octets[i]

    @property
    def listings(self) -> MutableMapping[str, bytes] | None:
        """The listings that a session that has deleted nothing has already made."""
        return None if self._has_deletions else self._snapshot.listings

    def getMessage(self, index: int) -> Deferred[IO[bytes]]:
        """Return a file with the message. It is on disk if it is larger than 1 MiB."""
        return Deferred.fromCoroutine(self._file(self._valid_index(index)))

    async def _file(self, index: int) -> IO[bytes]:
        file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=1024 * 1024)  # noqa: SIM115 - the caller closes it
        async for piece, _dots in self.pieces(index):
            file.write(piece)
        file.seek(io.SEEK_SET)
        return file

    def getUidl(self, index: int) -> bytes:
        """Return the id of the row as unique-id (RFC 1939 §7). Ids are never reused."""
        return id_text(self._ids[self._valid_index(index)]).encode()

    def deleteMessage(self, index: int) -> None:
        """Mark a message as deleted, in memory until `sync`."""
        self._flags[self._valid_index(index)] |= _DELETED
        self._has_deletions = True

    def undeleteMessages(self) -> None:
        """Unmark the messages that `sync` has not deleted."""
        for index, flag in enumerate(self._flags):
            if flag & _DELETED and not flag & _PURGED:
                self._flags[index] = flag & ~_DELETED

    def needs_utf8(self, index: int) -> bool:
        """Whether the message was received with SMTPUTF8 (RFC 6531)."""
        return bool(self._flags[self._valid_index(index)] & _UTF8)

    def whole_message(self, index: int) -> tuple[bytes, bool] | None:
        """Return a message of one piece that was read ahead, is intact, not deleted, and needs no UTF8."""
        row = self._ahead.ready.get(index)
        if row is None or self._flags[index]:
            return None
        # Checked in the reactor thread: for 4 KiB this costs less than the wait of a reader for the interpreter lock.
        text = whole_text(self._octets[index], row)
        body_id: int = row[1]
        if text is None or body_id in self._known_damage:
            return None
        self._ahead.drop(index)
        self._fetched[self._ids[index]] = body_id
        return text, bool(row[4])

    async def pieces(self, index: int) -> AsyncIterator[tuple[bytes, bool]]:
        """Read the message in pieces, each with whether one of its lines may begin with a dot.

        @raise MaildropLost: another session took over the maildrop.
        @raise StoreDamaged: the next piece is not the one that was accepted.
        """
        ready = self._ahead.take(index)
        if ready is None:
            self._valid_index(index)
            self._raise_if_lost()
            ready = await self._read(index)
            self._raise_if_lost()
        if ready.wrong:
            raise self._database.damage.report(ready.body_id, ready.wrong.format(0))
        if not ready.is_whole or ready.body_id in self._known_damage:
            limit = self._maildrops.ahead_limit
            rest = LaterPieces(self._database, ready.body_id, ready.count, ready.rest, limit)
            rest.check_size()
            await rest.verify_if_damaged()
        else:
            rest = None
        for piece in ready.first:
            yield piece
        if rest is not None:
            try:
                for number in range(1, ready.count):
                    self._raise_if_lost()
                    yield await rest.read(number)
                    self._last_command_at = self._reactor.seconds()
            finally:
                rest.close()
        # Reached only if the caller took all pieces.
        self._fetched[self._ids[index]] = ready.body_id

    async def _read(self, index: int) -> FirstPiece:
        try:
            return await self._ahead.read(index)
        except StoreError as error:
            self._raise_if_lost()
            if isinstance(error, StoreDamaged):
                raise await self._unreadable(index, error) from error
            raise

    async def _unreadable(self, index: int, error: StoreDamaged) -> StoreDamaged:
        """Return the exception for a message on an unreadable page. Logs the damage if the message id can be read."""
        drop = tables.maildrop
        here = (drop.c.account_id == self._account_id) & (drop.c.row_id == self._ids[index])
        asked = select(drop.c.message_id).where(here)
        try:
            message_id = await self._database.read("message-id", lambda connection: connection.execute(asked).scalar())
        except StoreDamaged:
            message_id = None
        return error if message_id is None else self._database.damage.report(message_id, UNREADABLE.format(0))

    def sync(self) -> Deferred[None]:
        """Delete the marked messages permanently, in one commit. The Deferred fires when that is on disk.

        @raise MaildropLost: (in the Deferred) another session took over the maildrop.
        @raise StoreError: (in the Deferred) nothing was deleted.
        """
        return Deferred.fromCoroutine(self._sync())

    async def _sync(self) -> None:
        self._raise_if_lost()
        marked = [index for index, flag in enumerate(self._flags) if flag & (_DELETED | _PURGED) == _DELETED]
        row_ids = [self._ids[index] for index in marked]
        deleted = set(row_ids)
        kept = [(row_id, message_id) for row_id, message_id in self._fetched.items() if row_id not in deleted]
        if not marked and not kept:
            return
        now = self._maildrops.microseconds()
        self._syncing = True
        try:
            await self._database.run("sync", lambda connection: self._write(connection, row_ids, kept, now))
        finally:
            self._syncing = False
            if self._released:
                self._maildrops.released(self._account_id, self)
        for index in marked:
            self._flags[index] |= _PURGED
        self._fetched.clear()
        if marked:
            self._maildrops.wake_sweeper()

    def _write(self, connection: Connection, row_ids: Sequence[int], kept: Sequence[tuple[int, int]], now: int) -> None:
        self._maildrops.check_fence(connection, self._account_id, self._fence)
        placeholder, account_id = self._database.engine.placeholder, self._account_id
        for fetched, words in ((True, _FETCHED), (False, _NOT_FETCHED)):
            ended = [row_id for row_id in row_ids if (row_id in self._fetched) is fetched]
            end_by_ids(connection, placeholder, account_id, ended, Fate.DELETED, now, words)
        for start in range(0, len(kept), _EVENTS_AT_ONCE):
            self._maildrops.record_fetched(connection, kept[start : start + _EVENTS_AT_ONCE], now)

    def touch(self) -> None:
        """Note the time of a command from the client."""
        self._last_command_at = self._reactor.seconds()

    def release(self) -> None:
        """Release the lock. Messages that are marked but not synced are kept."""
        if self._released:
            return
        self._released = True
        self._ahead.close()
        # The next session must not see messages that a commit in progress deletes.
        if not self._syncing:
            self._maildrops.released(self._account_id, self)
