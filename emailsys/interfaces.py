"""What one room asks of another: one interface a seam, and the values and refusals that pass through it."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from twisted.cred.credentials import ICredentials
from twisted.internet.defer import Deferred
from twisted.mail import pop3, smtp
from zope.interface import Attribute, Interface, implementer

from emailsys.mail.address import Address
from emailsys.mail.dsn_request import NOTHING_ASKED_FOR_RECIPIENT, RecipientRequest
from emailsys.mail.envelope import Addressee, Arrival, Client, Envelope, MailParameters, Recipient, Route
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, Transmission


class StoreError(Exception):
    """The store could not do it now; nothing was changed. Becomes 451 or -ERR [SYS/TEMP]."""


class StoreFull(StoreError):
    """The disk is full, or the writes that wait have reached their bound. Becomes 452 4.3.1."""


class StoreMissing(StoreError):
    """There is no store: none was made, or its files are gone. Becomes 451 4.3.5, 454 or -ERR [SYS/TEMP].

    A store that is missing knows nobody, so that nothing permanent may be concluded from what it does not know.
    """


class NoDomains(StoreMissing):
    """The store has no domain: it is new, or another one than it should be. Becomes the same."""


class StoreDamaged(StoreError):
    """What is stored is not what was accepted, or cannot be read. Becomes -ERR [SYS/PERM]; queued mail is held."""


class MaildropInUse(Exception):
    """Another session holds the maildrop (RFC 2449 §8.1.2, IN-USE)."""


class MaildropLost(Exception):
    """The session was silent too long and another login took the maildrop over; its deletes are void."""


class LoginBusy(Exception):
    """Too many logins wait to be checked. Becomes 454 4.7.0 or -ERR [SYS/TEMP]."""


@dataclass(frozen=True, slots=True)
class Account:
    """One who can log in and owns a maildrop."""

    account_id: int
    address: Address
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """An account with its credentials, as pairs of scheme and stored secret."""

    account: Account
    credentials: tuple[tuple[str, str], ...]

    def secret(self, scheme: str) -> str | None:
        """The stored secret of that scheme, if there is one."""
        return next((value for name, value in self.credentials if name == scheme), None)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message of the system's own, small enough to stand in memory: a DSN, a warning."""

    envelope: Envelope
    body: bytes


class IProvenName(ICredentials):
    """Credentials of a client whose proof a SASL mechanism has verified already."""

    username: bytes = Attribute("The name as the client gave it.")


@implementer(IProvenName)
@dataclass(frozen=True, slots=True)
class ProvenName:
    """A name whose proof held."""

    username: bytes


class ISecrets(Interface):
    """Stored secrets, for SASL mechanisms that verify a proof themselves."""

    async def find_secret(name: bytes, scheme: str) -> str | None:
        """Returns the secret of that scheme for a login name, None where nobody may log in so. Raises StoreError."""


class IIncoming(Interface):
    """A message body on its way into the store. Ends in `commit` or `abandon`, exactly once."""

    queue_id: str = Attribute("The identifier the message will bear, in the Received field, the log and the 250 reply.")
    octets: int = Attribute("How many octets were written.")

    def write(octets: bytes) -> Deferred[None] | None:
        """Take the next octets (CRLF lines, dots unstuffed). A Deferred asks the caller to pause until it fires.

        The Deferred may fail with StoreError: then the message is lost and `abandon` is due."""

    async def commit(envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        """Return once message, body, maildrop rows and queue rows are on disk, all or nothing.

        @param notices: messages of our own that the acceptance causes, accepted in the same commit.
        @raise StoreError: nothing was accepted."""

    def abandon() -> None:
        """Forget it; staged pieces are swept. Does nothing after `commit` or a first `abandon`."""


class IIntake(Interface):
    """The store's door for messages."""

    def begin() -> IIncoming:
        """A new, empty message."""

    async def has_room(octets: int) -> bool:
        """Whether the disk can take a message of that size with a reserve (RFC 1870 §6)."""


class IDelivery(smtp.IMessageDelivery):
    """The avatar of an SMTP session, anonymous or logged in: may this pass, and where to?

    The methods are those of twisted.mail's interface, over our values; validateFrom and validateTo return awaitables,
    and a refusal is a value, the Reply to send.
    """

    account: Account | None = Attribute("Who is logged in; None for a stranger.")

    async def validateFrom(helo: Client, origin: Address | None) -> Reply | None:
        """None where this reverse-path may be used."""

    async def validateTo(user: Addressee) -> Sequence[Route] | Reply:
        """Resolve a forward-path, given without source route. An empty domain stands for bare <postmaster>."""

    def receivedHeader(helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        """The Received field, folded, with its final CRLF."""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One remote recipient of one message, leased for an attempt. `attempts` counts those before this one.

    `warned` tells that the sender has been told of the delay.
    """

    row_id: int
    lease: int
    message_id: int
    queue_id: str
    reverse_path: Address | None
    forward_path: Address
    arrived_at: datetime
    octets: int
    parameters: MailParameters
    attempts: int
    warned: bool = False
    forwarded: bool = False
    dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT

    @property
    def way(self) -> Way:
        """All that its next hop depends on."""
        return (None if self.reverse_path is None else self.reverse_path.domain, self.forward_path.domain)


#: The domain of the reverse-path, None for the null one, and that of the forward-path, both as they were written.
Way = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class PutOff:
    """What becomes of rows by a way that mail is not to go now.

    With a reply it is an attempt that ended so, by `remote`: counted, and told of like any other.
    """

    # By the attempts before, the arrival, and whether the sender was told of the delay: when it is due instead; None
    # where it must be leased all the same, as its sender is to be told of something. Called in a thread of the store.
    due_at: Callable[[int, datetime, bool], datetime | None]
    reply: str = ""
    remote: str = ""
    # Called after the commit for each row, with its queue id and forward-path.
    told: Callable[[str, Address], None] = lambda queue_id, forward_path: None


NO_WAY: Final[Mapping[Way, PutOff]] = MappingProxyType({})


class Fate(enum.Enum):
    """How a maildrop or queue row ended for good: its place in the ledger. A settlement takes the first three."""

    RELAYED = "relayed"
    # The reverse-path was told.
    FAILED = "failed with a DSN"
    # Null reverse-path, NOTIFY=NEVER, or a reverse-path that is not deliverable.
    FAILED_UNTOLD = "failed without a DSN"
    # From a maildrop, by its owner.
    DELETED = "deleted by its owner"
    DROPPED = "dropped by an operator"
    EXPIRED = "expired by retention"


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended: for good where `due_at` is None, and then by `fate`; else delayed until then.

    `reply` is the last one and `remote` the host that gave it, "" where none did. An attempt that was never made, as
    the next hop had no connection to spare, is not `tried`: it is re-dated and counts for nothing. `warned` tells that
    a notice tells the sender of the delay. `in_doubt`: the reply to the final dot was never seen (RFC 1047). `hold`:
    not due before an operator releases it, whatever `due_at` says."""

    row: QueueRow
    due_at: datetime | None = None
    reply: str = ""
    fate: Fate = Fate.RELAYED
    remote: str = ""
    tried: bool = True
    warned: bool = False
    in_doubt: bool = False
    hold: bool = False


class IQueue(Interface):
    """Recipients on other hosts that wait for delivery, at least once (RFC 1047).

    A lease that runs out may be taken anew.
    """

    async def lease(limit: int, seconds: float, later: Mapping[Way, PutOff] = NO_WAY) -> Sequence[QueueRow]:
        """Take at most `limit` rows that are due, the longest due first; nobody else gets them for so many seconds.

        @param later: rows by these ways are not taken, but put off in the same commit."""

    async def renew(rows: Sequence[QueueRow], seconds: float) -> Sequence[QueueRow]:
        """Hold leased rows for so many seconds from now. Returns those whose lease was lost before."""

    async def settle(settlements: Sequence[Settlement], notices: Sequence[Notice] = ()) -> int:
        """Record attempts in one commit. Returns for how many the lease still held; the others change nothing.

        The notices are accepted in the same commit, as by `IIncoming.commit`, unless no lease held at all.
        """

    async def release(rows: Sequence[QueueRow]) -> None:
        """Give leased rows back without an attempt: they are due at once."""

    async def next_due() -> datetime | None:
        """When the next row is due or its lease ends; None for an empty queue."""

    def pieces(row: QueueRow) -> AsyncIterator[bytes]:
        """The body as it was accepted, in pieces of at most 256 KiB, each read in a transaction of its own.
        @raise StoreDamaged: the next piece is not what was accepted; it is not given."""


class IRelay(Interface):
    """The door to other hosts; what runs behind it is connections, MX records and TLS."""

    async def relay(next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        """Try once to send one message to some of its recipients. Returns an outcome for each, in their order.

        Where none of the next hop's hosts could be talked to, the outcomes are delayed with `host_at_fault`. Never
        raises but CancelledError: then nothing more is sent and the connection is gone.
        """

    def idle(next_hop: NextHop) -> None:
        """Nothing more waits for that next hop: its connections may be closed."""

    def wind_up(grace: float) -> None:
        """The system stops: give up at once what has not sent the end of its message, as nobody can have it yet, and
        after so many seconds what waits for the reply to that. Outcomes of what was given up have BROKEN_OFF."""


class IResolver(Interface):
    """Which hosts take mail for a next hop, by DNS."""

    async def hosts(next_hop: NextHop) -> Sequence[Host] | Reply:
        """At least one host, in the order in which they are to be tried (RFC 5321 §5.1); else why there is none: a
        4xx where that may change by itself, a 5xx where mail can't be brought there."""


class IDialer(Interface):
    """Connections to other hosts."""

    def connected(next_hop: NextHop) -> Host | None:
        """A host of that next hop with which a connection is open, so that nobody has to be looked up."""

    async def send(next_hop: NextHop, host: Host, transmission: Transmission) -> Sequence[Outcome]:
        """Send a message to that host, over a connection that is there or a new one. Returns an outcome for each
        recipient, in their order. Never raises but CancelledError: then nothing more is sent."""

    def idle(next_hop: NextHop) -> None:
        """Nothing more waits for that next hop: its connections may be closed."""

    def wind_up(grace: float) -> None:
        """Send nothing new, give up at once what has not sent the end of its message, and after so many seconds what
        waits for the reply to that. Outcomes of what was given up have BROKEN_OFF."""

    async def close(grace: float) -> None:
        """Wind up, and return when all connections are closed."""


class IRouter(Interface):
    """Which way mail goes, asked outside of any SMTP session."""

    async def next_hop(row: QueueRow) -> NextHop:
        """Where a queue row goes now; looked up at each attempt, so that a corrected smart host applies to it."""

    async def sender(row: QueueRow) -> Address | None:
        """The reverse-path as it goes over the wire: the row's own, or for a forwarded one a rewritten one (SRS)."""

    async def resolve(forward_path: Address) -> Sequence[Route]:
        """Where mail of our own goes, such as a DSN; nothing for an address of this system that does not exist."""


class IMaildrop(pop3.IMailbox):
    """An opened, locked maildrop: pop3.IMailbox over the snapshot taken at login, and what streaming needs.

    Indices count from 0 over the snapshot. `listMessages` answers from memory, 0 for a deleted message; `getUidl` too;
    `getMessage` returns a Deferred of a file. `sync` returns a Deferred that fires when the deletes are on disk.
    """

    def size_of(index: int) -> int:
        """The octets of a message as RETR sends it, dot-stuffing not counted (RFC 1939 §11), whether deleted or not."""

    def needs_utf8(index: int) -> bool:
        """Whether it is an SMTPUTF8 message (RFC 6856 §2)."""

    def pieces(index: int) -> AsyncIterator[tuple[bytes, bool]]:
        """The message in pieces of at most 256 KiB with CRLF lines, each with whether it may hold a line that begins
        with a dot (the first piece begins a line). Each piece is read in a transaction of its own.

        @raise MaildropLost: another session took over.
        @raise StoreDamaged: the next piece is not what was accepted; it is not given."""

    def touch() -> None:
        """The client has just spoken: it is not silent."""

    def release() -> None:
        """Give up the lock. May be called twice; deletes that were not synced are void."""


class IMaildrops(Interface):
    """The store's door for POP3."""

    async def open(account_id: int) -> IMaildrop:
        """Lock the maildrop and take its snapshot.

        @raise MaildropInUse: a live session holds it."""


class IDirectory(Interface):
    """Accounts, domains and addresses, as policy asks for them. Answers come from a cache no older than a second.

    While there is no domain at all, each method that would answer with nothing raises NoDomains: what an empty store
    does not know may exist all the same. The same goes for IAliases.
    """

    async def is_local_domain(domain_key: str) -> bool:
        """Whether mail for that domain (lower-case A-labels) belongs here."""

    async def default_domain() -> str:
        """The domain of a bare <postmaster> (RFC 5321 §4.5.1): the first that was added."""

    async def find_address(local_key: str, domain_key: str) -> Account | None:
        """The account which that very address, by `Address.key`, belongs to: its own name or an alias."""

    async def find_login(name_key: tuple[str, str]) -> Login | None:
        """The account whose own address that is, with credentials; a disabled one too."""


class IAliases(Interface):
    """What addresses of this system stand for others, as policy asks for them."""

    async def targets(local_key: str, domain_key: str) -> Sequence[Address]:
        """What the alias of that very name stands for, here or elsewhere, in order; nothing where there is none.

        The catch-all of a domain, which stands for all names that nobody has, is its alias with an empty local part.
        """
