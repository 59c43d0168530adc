"""The store in memory: deterministic ids, and knobs that hold, fail and fill it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from zope.interface import implementer

from emailsys.interfaces import (
    Account,
    Fate,
    IIncoming,
    IIntake,
    Notice,
    Settlement,
    StoreError,
)
from emailsys.interfaces.operators import EventKind, Happening
from emailsys.mail.address import Address, domain_key
from emailsys.mail.dsn_request import NOTHING_ASKED_FOR_RECIPIENT, RecipientRequest
from emailsys.mail.envelope import Envelope, MailParameters, RemoteRoute
from tests.fakes.store.memory_accounts import MemoryAccounts
from tests.fakes.store.memory_declaration import MemoryDeclaration
from tests.fakes.store.memory_known_networks import MemoryKnownNetworks
from tests.fakes.store.memory_maildrop import MemoryMaildrops, MemoryReading
from tests.fakes.store.memory_operations import (
    MemoryQueueOperations,
    MemoryQuotas,
    MemoryRoutes,
    MemoryTrace,
    MemoryVerification,
)
from tests.fakes.store.memory_queue import MemoryQueue
from tests.fakes.store.memory_sent_counts import MemorySentCounts
from tests.fakes.store.memory_sent_keys import MemorySentKeys
from tests.fakes.store.memory_tokens import MemoryTokens


@dataclass
class StoredMessage:
    """A message that was accepted: its id, its envelope and its body."""

    queue_id: str
    envelope: Envelope
    body: bytes
    # The message that it tells of, where it is a notice.
    cause: str = ""
    happenings: list[Happening] = field(default_factory=list)
    # Rows of maildrops and queue that have ended.
    ended: dict[int, Fate] = field(default_factory=dict)


@dataclass
class DropRow:
    """A message in one maildrop."""

    row_id: int
    prefix: bytes
    message: StoredMessage

    @property
    def uid(self) -> str:
        """Its unique-id."""
        return f"U{self.row_id:06d}"

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
    # Not due, by an operator; where it is leased, as soon as its attempt ends.
    on_hold: bool = False
    last_reply: str = ""
    last_remote: str = ""
    aged_from: datetime | None = None


@dataclass
class MemoryStore:
    """The whole store: `intake`, `maildrops`, `accounts`, `directory`, `queue`, and the knobs of a test.

    `clock` is a task.Clock; wall time is 2026-01-01 plus its seconds.
    Knobs: `fail_next_commit` (an exception the next commit raises), `hold_commits` (commits wait for `release_held`),
    `room` (has_room's answer), `pause_writes` (each write returns a Deferred that `release_held` fires),
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
    # Seconds by which the wall clock has jumped.
    jumped: float = 0.0

    def __post_init__(self) -> None:
        self._last_id = 0
        self.known_networks = MemoryKnownNetworks()
        self.accounts = MemoryAccounts(self.make_id, self.drops, self.known_networks)
        self.directory = self.accounts
        self.aliases = self.accounts
        self.delegated_senders = self.accounts
        self.routes = MemoryRoutes()
        self.quotas = MemoryQuotas(self.accounts, self.drops)
        self.declaration = MemoryDeclaration(self)
        self.queue_operations = MemoryQueueOperations(self)
        self.trace = MemoryTrace(self)
        self.verification = MemoryVerification(self)
        self.intake = MemoryIntake(self)
        self.maildrops = MemoryMaildrops(self)
        # What the server made of the same messages, by their ids.
        self.listings: dict[tuple[int, ...], dict[str, bytes]] = {}
        self.reading = MemoryReading(self)
        self.read_rows: set[int] = set()
        self.queue = MemoryQueue(self)
        self.sent_counts = MemorySentCounts()
        self.sent_keys = MemorySentKeys(self)
        self.tokens = MemoryTokens(lambda: self.accounts, self.now)

    def make_id(self) -> int:
        """1, 2, 3 ..."""
        self._last_id += 1
        return self._last_id

    def now(self) -> datetime:
        """The wall clock."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.clock.seconds() + self.jumped)

    def release_held(self) -> None:
        """Fire all that was held or paused so far, oldest first."""
        held, self.held = self.held, []
        for waiting in held:
            waiting.callback(None)

    def seed_account(self, address: str, credentials: Mapping[str, str] | None = None) -> Account:
        """An account with its domain, made at once; postmaster and abuse of a new domain go to it."""
        return self.accounts.seed(address, tuple((credentials or {}).items()))

    def put(self, account: Account, body: bytes, *, smtputf8: bool = False) -> None:
        """A message, without prefix, straight into a maildrop."""
        message = StoredMessage(
            f"Q{self.make_id():06d}", Envelope(None, (), self.now(), MailParameters(smtputf8=smtputf8)), body
        )
        self.drops.setdefault(account.account_id, []).append(DropRow(self.make_id(), b"", message))

    def accept(self, queue_id: str, body: bytes, envelope: Envelope, cause: str = "") -> None:
        """What a commit does."""
        message = StoredMessage(queue_id, envelope, body, cause)
        told = [Happening(envelope.arrived_at, EventKind.ACCEPTED)]
        drops: dict[int, DropRow] = {}
        waiting: list[WaitingRow] = []
        remotes: set[Address] = set()
        reverse_path = "" if envelope.reverse_path is None else str(envelope.reverse_path)
        for recipient in envelope.recipients:
            path = str(recipient.forward_path)
            if len(recipient.routes) > 1 or any(isinstance(r, RemoteRoute) and r.forwarded for r in recipient.routes):
                told.append(Happening(envelope.arrived_at, EventKind.EXPANDED, path))
            for route in recipient.routes:
                if isinstance(route, RemoteRoute):
                    address = Address(route.forward_path.local, domain_key(route.forward_path.domain))
                    if address in remotes:
                        continue
                    remotes.add(address)
                    told.append(Happening(envelope.arrived_at, EventKind.QUEUED, str(route.forward_path)))
                    waiting.append(
                        WaitingRow(
                            self.make_id(),
                            message,
                            route.forward_path,
                            self.now(),
                            dsn=recipient.dsn,
                            forwarded=route.forwarded,
                            on_hold=bool(recipient.hold),
                            last_reply=recipient.hold,
                        )
                    )
                    continue
                told.append(Happening(envelope.arrived_at, EventKind.STORED, path))
                if route.account_id not in drops:
                    if not self.accounts.has_account(route.account_id):
                        raise StoreError("no such account")
                    prefix = f"Return-Path: <{reverse_path}>\r\nDelivered-To: {recipient.forward_path}\r\n".encode()
                    drops[route.account_id] = DropRow(self.make_id(), prefix, message)
        message.happenings += told
        self.messages.append(message)
        self.waiting.extend(waiting)
        for account_id, row in drops.items():
            self.drops.setdefault(account_id, []).append(row)

    def accept_notices(self, notices: Sequence[Notice], cause: str = "") -> None:
        """Messages of the system's own, in the commit that causes them."""
        for notice in notices:
            envelope = replace(notice.envelope, arrived_at=self.now())
            self.accept(f"Q{self.make_id():06d}", notice.body, envelope, cause)

    def tell(
        self, message: StoredMessage, kind: EventKind, recipient: object = "", reply: str = "", uid: str = ""
    ) -> None:
        """Note what happened to a message."""
        message.happenings.append(Happening(self.now(), kind, str(recipient), reply, uid=uid))

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
            raise StoreError("the message has already ended")
        self._ended = True
        store = self._store
        await store.before_commit()
        store.accept(self.queue_id, bytes(self._body), envelope)
        store.accept_notices(notices, self.queue_id)

    def abandon(self) -> None:
        if not self._ended:
            self._ended = True
            self._store.abandoned += 1
