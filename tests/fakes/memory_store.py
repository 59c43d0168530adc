"""The store in memory: deterministic ids, and knobs that hold, fail and fill it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from emailsys.interfaces import (
    Account,
    IIncoming,
    IIntake,
    IMaildrop,
    IMaildrops,
    IQueue,
    MaildropInUse,
    MaildropLost,
    Notice,
    QueueRow,
    Settlement,
    StoreError,
)
from emailsys.mail.address import Address
from emailsys.mail.dsn_request import NOTHING_ASKED_FOR_RECIPIENT, RecipientRequest
from emailsys.mail.envelope import Envelope, LocalRoute, RemoteRoute
from tests.fakes.memory_accounts import MemoryAccounts

PIECE_OCTETS = 256 * 1024


@dataclass
class StoredMessage:
    """A message that was accepted: its id, its envelope and its body."""

    queue_id: str
    envelope: Envelope
    body: bytes


@dataclass
class DropRow:
    """A message in one maildrop."""

    row_id: int
    prefix: bytes
    message: StoredMessage

    @property
    def octets(self) -> bytes:
        """What RETR sends, not dot-stuffed."""
        return self.prefix + self.message.body


@dataclass
class WaitingRow:
    """A remote recipient."""

    row_id: int
    message: StoredMessage
    forward_path: Address
    due_at: datetime
    attempts: int = 0
    lease: int | None = None
    warned: bool = False
    dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT
    forwarded: bool = False


@dataclass
class MemoryStore:
    """The whole store: `intake`, `maildrops`, `accounts`, `directory`, `queue`, and the knobs of a test.

    `clock` is a task.Clock; wall time is 2026-01-01 plus its seconds.
    Knobs: `fail_next_commit` (an exception the next commit raises), `hold_commits` (commits wait for `let_go`),
    `room` (has_room's answer), `pause_writes` (each write returns a Deferred that `let_go` fires),
    `fail_next_write` (the next write's Deferred fails with it), `fail_reads` (pieces raises it).
    Record: `messages`, all that was accepted, in order; `abandoned`, how many bodies were abandoned;
    `settlements`, the attempts that were recorded, in order.
    """

    clock: Clock = field(default_factory=Clock)
    takeover_after: float = 60.0
    room: bool = True
    fail_next_commit: Exception | None = None
    fail_next_write: Exception | None = None
    fail_reads: Exception | None = None
    hold_commits: bool = False
    pause_writes: bool = False
    messages: list[StoredMessage] = field(default_factory=list)
    drops: dict[int, list[DropRow]] = field(default_factory=dict)
    waiting: list[WaitingRow] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    abandoned: int = 0
    held: list[Deferred[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._last_id = 0
        self.accounts = MemoryAccounts(self.make_id, self.drops)
        self.directory = self.accounts
        self.intake = MemoryIntake(self)
        self.maildrops = MemoryMaildrops(self)
        self.queue = MemoryQueue(self)

    def make_id(self) -> int:
        """1, 2, 3 ..."""
        self._last_id += 1
        return self._last_id

    def now(self) -> datetime:
        """The wall clock."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.clock.seconds())

    def let_go(self) -> None:
        """Fire all that was held or paused so far, oldest first."""
        held, self.held = self.held, []
        for waiting in held:
            waiting.callback(None)

    def seed_account(self, address: str, credentials: Mapping[str, str] | None = None) -> Account:
        """An account with its domain, made at once; postmaster and abuse of a new domain go to it."""
        return self.accounts.seed(address, tuple((credentials or {}).items()))

    def put(self, account: Account, body: bytes, *, smtputf8: bool = False) -> None:
        """A message, without prefix, straight into a maildrop."""
        message = StoredMessage(f"Q{self.make_id():06d}", Envelope(None, (), self.now(), smtputf8=smtputf8), body)
        self.drops.setdefault(account.account_id, []).append(DropRow(self.make_id(), b"", message))

    def accept(self, queue_id: str, body: bytes, envelope: Envelope) -> None:
        """What a commit does."""
        message = StoredMessage(queue_id, envelope, body)
        drops: dict[int, DropRow] = {}
        waiting: list[WaitingRow] = []
        reverse_path = "" if envelope.reverse_path is None else str(envelope.reverse_path)
        for recipient in envelope.recipients:
            for route in recipient.routes:
                if isinstance(route, RemoteRoute):
                    waiting.append(
                        WaitingRow(
                            self.make_id(),
                            message,
                            route.forward_path,
                            self.now(),
                            dsn=recipient.dsn,
                            forwarded=route.forwarded,
                        )
                    )
                elif isinstance(route, LocalRoute) and route.account_id not in drops:
                    if not self.accounts.has_account(route.account_id):
                        raise StoreError("no such account")
                    prefix = f"Return-Path: <{reverse_path}>\r\nDelivered-To: {recipient.forward_path}\r\n".encode()
                    drops[route.account_id] = DropRow(self.make_id(), prefix, message)
        self.messages.append(message)
        self.waiting.extend(waiting)
        for account_id, row in drops.items():
            self.drops.setdefault(account_id, []).append(row)

    def accept_notices(self, notices: Sequence[Notice]) -> None:
        """Messages of the system's own, in the commit that causes them."""
        for notice in notices:
            self.accept(f"Q{self.make_id():06d}", notice.body, notice.envelope)

    async def before_commit(self) -> None:
        """Hold the commit or fail it, as the knobs say."""
        error, self.fail_next_commit = self.fail_next_commit, None
        if self.hold_commits:
            held: Deferred[None] = Deferred()
            self.held.append(held)
            await held
        if error is not None:
            raise error

    async def close(self) -> None:
        """Nothing to drain."""


@implementer(IIntake)
class MemoryIntake:
    """The door for messages."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def begin(self) -> MemoryIncoming:
        return MemoryIncoming(self._store)

    async def has_room(self, octets: int) -> bool:
        return self._store.room


@implementer(IIncoming)
class MemoryIncoming:
    """A body on its way in."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._body = bytearray()
        self._ended = False
        self.queue_id = f"Q{store.make_id():06d}"

    @property
    def octets(self) -> int:
        return len(self._body)

    def write(self, octets: bytes) -> Deferred[None] | None:
        store = self._store
        if store.fail_next_write is not None:
            error, store.fail_next_write = store.fail_next_write, None
            return fail(error)
        if self._ended:
            return None
        self._body += octets
        if store.pause_writes:
            paused: Deferred[None] = Deferred()
            store.held.append(paused)
            return paused
        return None

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        if self._ended:
            raise StoreError("the message has ended already")
        self._ended = True
        store = self._store
        await store.before_commit()
        store.accept(self.queue_id, bytes(self._body), envelope)
        store.accept_notices(notices)

    def abandon(self) -> None:
        if not self._ended:
            self._ended = True
            self._store.abandoned += 1


@implementer(IMaildrops)
class MemoryMaildrops:
    """The door for POP3."""

    def __init__(self, store: MemoryStore) -> None:
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


@implementer(IMaildrop)
class MemoryMaildrop:
    """An opened, locked maildrop."""

    loginDelay = 0
    messageExpiration = None

    def __init__(self, store: MemoryStore, account_id: int) -> None:
        self._store = store
        self._account_id = account_id
        self._rows = list(store.drops.get(account_id, ()))
        self._deleted: set[int] = set()
        self._purged: set[int] = set()
        self.heard_at = store.clock.seconds()
        self.lost = False
        self.released = False

    def _row(self, index: int) -> DropRow:
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
        return b"U%06d" % self._row(index).row_id

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
        if self._deleted == self._purged:
            return
        await store.before_commit()
        self._purged = set(self._deleted)
        gone = {self._rows[index].row_id for index in self._deleted}
        store.drops[self._account_id] = [row for row in store.drops.get(self._account_id, ()) if row.row_id not in gone]

    def size_of(self, index: int) -> int:
        return len(self._row(index).octets)

    def needs_utf8(self, index: int) -> bool:
        return self._row(index).message.envelope.smtputf8

    async def pieces(self, index: int) -> AsyncIterator[tuple[bytes, bool]]:
        octets = self._row(index).octets
        for start in range(0, len(octets), PIECE_OCTETS):
            if self.lost or self.released:
                raise MaildropLost()
            if self._store.fail_reads is not None:
                raise self._store.fail_reads
            piece = octets[start : start + PIECE_OCTETS]
            yield piece, piece.startswith(b".") or b"\n." in piece

    def touch(self) -> None:
        self.heard_at = self._store.clock.seconds()

    def release(self) -> None:
        self.released = True
        if self._store.maildrops.open_drops.get(self._account_id) is self:
            del self._store.maildrops.open_drops[self._account_id]


@implementer(IQueue)
class MemoryQueue:
    """Remote recipients that wait."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def lease(self, limit: int, seconds: float) -> Sequence[QueueRow]:
        now = self._store.now()
        due = sorted(
            (row for row in self._store.waiting if row.due_at <= now), key=lambda row: (row.due_at, row.row_id)
        )
        leased = []
        for row in due[:limit]:
            row.lease = self._store.make_id()
            row.due_at = now + timedelta(seconds=seconds)
            envelope = row.message.envelope
            leased.append(
                QueueRow(
                    row_id=row.row_id,
                    lease=row.lease,
                    queue_id=row.message.queue_id,
                    reverse_path=envelope.reverse_path,
                    forward_path=row.forward_path,
                    arrived_at=envelope.arrived_at,
                    octets=len(row.message.body),
                    body=envelope.body,
                    smtputf8=envelope.smtputf8,
                    attempts=row.attempts,
                    warned=row.warned,
                    forwarded=row.forwarded,
                    message_dsn=envelope.dsn,
                    dsn=row.dsn,
                )
            )
        return leased

    def _held(self, row: QueueRow) -> WaitingRow | None:
        return next((w for w in self._store.waiting if w.row_id == row.row_id and w.lease == row.lease), None)

    async def renew(self, rows: Sequence[QueueRow], seconds: float) -> Sequence[QueueRow]:
        lost = []
        for leased in rows:
            row = self._held(leased)
            if row is None:
                lost.append(leased)
            else:
                row.due_at = self._store.now() + timedelta(seconds=seconds)
        return lost

    async def settle(self, settlements: Sequence[Settlement], notices: Sequence[Notice] = ()) -> int:
        await self._store.before_commit()
        settled = 0
        for settlement in settlements:
            row = self._held(settlement.row)
            if row is None:
                continue
            settled += 1
            self._store.settlements.append(settlement)
            if settlement.due_at is None:
                self._store.waiting.remove(row)
            else:
                row.attempts += settlement.tried
                row.lease, row.due_at, row.warned = None, settlement.due_at, row.warned or settlement.warned
        if settled:
            self._store.accept_notices(notices)
        return settled

    async def release(self, rows: Sequence[QueueRow]) -> None:
        for leased in rows:
            row = self._held(leased)
            if row is not None:
                row.lease, row.due_at = None, self._store.now()

    async def next_due(self) -> datetime | None:
        return min((row.due_at for row in self._store.waiting), default=None)

    async def pieces(self, row: QueueRow) -> AsyncIterator[bytes]:
        body = next((w.message.body for w in self._store.waiting if w.row_id == row.row_id), None)
        if body is None:
            raise StoreError("the message is gone")
        for start in range(0, len(body), PIECE_OCTETS):
            yield body[start : start + PIECE_OCTETS]
