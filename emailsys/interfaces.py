"""Interfaces between the packages: one for each seam, with its values and exceptions."""

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
    """The store failed for now and changed nothing. Becomes 451 or -ERR [SYS/TEMP]."""


class StoreFull(StoreError):
    """The disk is full, or the limit of waiting writes is reached. Becomes 452 4.3.1."""


class StoreMissing(StoreError):
    """The store does not exist, or its files are gone. Becomes 451 4.3.5, 454 or -ERR [SYS/TEMP].

    A missing store knows no accounts. No address may therefore be refused permanently.
    """


class NoDomains(StoreMissing):
    """The store has no domain: it is new, or it is the wrong store. Becomes the same replies."""


class StoreDamaged(StoreError):
    """Stored data differs from what was accepted or cannot be read. Becomes -ERR [SYS/PERM]; queued mail is held."""


class MaildropInUse(Exception):
    """Another session holds the maildrop (RFC 2449 §8.1.2, IN-USE)."""


class MaildropLost(Exception):
    """Another login took over the maildrop of an idle session. The deletes of that session are void."""


class LoginBusy(Exception):
    """Too many logins wait for verification. Becomes 454 4.7.0 or -ERR [SYS/TEMP]."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account that can log in and owns a maildrop."""

    account_id: int
    address: Address
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """An account with its credentials, as pairs of scheme and stored secret."""

    account: Account
    credentials: tuple[tuple[str, str], ...]

    def secret(self, scheme: str) -> str | None:
        """Return the stored secret of a scheme, or None."""
        return next((value for name, value in self.credentials if name == scheme), None)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that this system composes, such as a DSN or a quota warning. It is kept in memory."""

    envelope: Envelope
    body: bytes


class IProvenName(ICredentials):
    """Credentials of a client whose proof a SASL mechanism has already verified."""

    username: bytes = Attribute("The login name as the client sent it.")


@implementer(IProvenName)
@dataclass(frozen=True, slots=True)
class ProvenName:
    """A login name with a verified proof."""

    username: bytes


class ISecrets(Interface):
    """Stored secrets, for SASL mechanisms that verify a proof themselves."""

    async def find_secret(name: bytes, scheme: str) -> str | None:
        """Return the secret of a scheme for a login name, or None if that login is not possible.

        @raise StoreError: the secret cannot be read now."""


class IIncoming(Interface):
    """A message body that is written to the store. Ends with exactly one `commit` or `abandon`."""

    queue_id: str = Attribute("The message's identifier in the Received field, the log and the 250 reply.")
    octets: int = Attribute("The number of octets written.")

    def write(octets: bytes) -> Deferred[None] | None:
        """Write the next octets (CRLF lines, dots unstuffed).

        If it returns a Deferred, the caller pauses until the Deferred fires (backpressure). The Deferred may fail with
        StoreError: the message is lost then, and the caller calls `abandon`."""

    async def commit(envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        """Commit the message. Returns when message, body, maildrop rows and queue rows are on disk, all or none.

        @param notices: notices that the acceptance causes; they are accepted in the same commit.
        @raise StoreError: nothing was accepted."""

    def abandon() -> None:
        """Discard the message. The sweeper removes staged pieces. Does nothing after `commit` or `abandon`."""


class IIntake(Interface):
    """Acceptance of messages into the store."""

    def begin() -> IIncoming:
        """Return a new, empty message."""

    async def has_room(octets: int) -> bool:
        """Return whether the disk has room for a message of this size and a reserve (RFC 1870 §6)."""


class IDelivery(smtp.IMessageDelivery):
    """Avatar of an SMTP session, anonymous or authenticated: checks and resolves addresses.

    The methods are those of twisted.mail's interface, with the values of emailsys. validateFrom and validateTo return
    awaitables. A refusal is a value, not an exception: the Reply to send.
    """

    account: Account | None = Attribute("The authenticated account; None for an anonymous client.")

    async def validateFrom(helo: Client, origin: Address | None) -> Reply | None:
        """Return None if the client may use this reverse-path, else the reply that refuses it."""

    async def validateTo(user: Addressee) -> Sequence[Route] | Reply:
        """Resolve a forward-path without source route. An empty domain stands for bare <postmaster>."""

    def receivedHeader(helo: Client, origin: Arrival, recipients: Sequence[Recipient]) -> bytes:
        """Return the Received field, folded, with its final CRLF."""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One remote recipient of one message, leased for a delivery attempt.

    `attempts` counts the attempts before this one. `warned` is whether the sender was warned of the delay.
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
        """The domains that determine its next hop."""
        return (None if self.reverse_path is None else self.reverse_path.domain, self.forward_path.domain)


#: The domain of the reverse-path, None for the null one, and the domain of the forward-path, both as received.
Way = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class PutOff:
    """How to reschedule due rows of a way whose next hop is paused or silent, without leasing them.

    If `reply` is set, rescheduling counts as a delayed attempt with this reply of `remote`, like any other.
    """

    # Returns when a row is due again, from its number of attempts, its arrival, and whether its sender was warned of
    # the delay. None: lease the row all the same, because a notice is due. Called in a thread of the store.
    due_at: Callable[[int, datetime, bool], datetime | None]
    reply: str = ""
    remote: str = ""
    # Called after the commit for each row, with the queue id and forward-path.
    told: Callable[[str, Address], None] = lambda queue_id, forward_path: None


NO_WAY: Final[Mapping[Way, PutOff]] = MappingProxyType({})


class Fate(enum.Enum):
    """The final state of a maildrop or queue row in the ledger. A settlement has one of the first three."""

    RELAYED = "relayed"
    # The reverse-path got a notice.
    FAILED = "failed with a DSN"
    # Null reverse-path, NOTIFY=NEVER, or an undeliverable reverse-path.
    FAILED_UNTOLD = "failed without a DSN"
    # By the owner of the maildrop.
    DELETED = "deleted by its owner"
    DROPPED = "dropped by an operator"
    EXPIRED = "expired by retention"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The result of an attempt for one row.

    If `due_at` is None, the row is final and ends with `fate`; else it is delayed until then. `reply` is the last reply
    and `remote` the host that sent it, "" for none.

    `tried` is False if no attempt was made, because the next hop had no free connection: the row is rescheduled without
    counting an attempt. `warned`: a notice of the delay is sent. `in_doubt`: the reply to the final dot was not
    received (RFC 1047). `hold`: the row is not due before an operator releases it, whatever `due_at` is."""

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
    """Queue of recipients on other hosts, each delivered at least once (RFC 1047).

    A row whose lease has expired may be leased again.
    """

    async def lease(limit: int, seconds: float, later: Mapping[Way, PutOff] = NO_WAY) -> Sequence[QueueRow]:
        """Lease at most `limit` due rows for `seconds`, the longest due first. No other runner gets them meanwhile.

        @param later: rows of these ways are not leased but rescheduled in the same commit."""

    async def renew(rows: Sequence[QueueRow], seconds: float) -> Sequence[QueueRow]:
        """Renew the leases of rows until `seconds` from now. Returns the rows whose lease was already lost."""

    async def settle(settlements: Sequence[Settlement], notices: Sequence[Notice] = ()) -> int:
        """Record attempts in one commit. Returns how many rows were still leased; the others do not change.

        The notices are accepted in the same commit, as by `IIncoming.commit`, unless all leases were lost.
        """

    async def release(rows: Sequence[QueueRow]) -> None:
        """Release leased rows without an attempt. They are due at once."""

    async def next_due() -> datetime | None:
        """Return when the next row is due or its lease expires; None for an empty queue."""

    def pieces(row: QueueRow) -> AsyncIterator[bytes]:
        """Return the accepted body in pieces of at most 256 KiB, each read in its own transaction.

        @raise StoreDamaged: the next piece differs from what was accepted; it is not returned."""


class IRelay(Interface):
    """Relay to other hosts: MX lookup, connections and TLS are behind it."""

    async def relay(next_hop: NextHop, transmission: Transmission) -> Sequence[Outcome]:
        """Make one attempt to send a message to some of its recipients. Returns one outcome for each, in their order.

        If no host of the next hop could be reached, the outcomes are delayed with `host_at_fault`.

        @raise CancelledError: the only exception; nothing more is sent, and the connection is closed.
        """

    def idle(next_hop: NextHop) -> None:
        """Allow the connections to a next hop to be closed, because no message waits for it."""

    def wind_up(grace: float) -> None:
        """Shut down. Transmissions that have not sent the end of their message are aborted at once.

        No host can have accepted those. Transmissions that wait for the final reply are aborted after `grace` seconds.
        Outcomes of aborted transmissions have BROKEN_OFF.
        """


class IResolver(Interface):
    """Resolver of the hosts that accept mail for a next hop, by DNS."""

    async def hosts(next_hop: NextHop) -> Sequence[Host] | Reply:
        """Return at least one host, in the order of preference (RFC 5321 §5.1), or a reply with the reason for none.

        The reply is 4xx if the reason is temporary, and 5xx if mail can never be delivered there.
        """


class IDialer(Interface):
    """Connection pool for outbound SMTP."""

    def connected(next_hop: NextHop) -> Host | None:
        """Return a host of the next hop with an open connection, which saves a lookup, or None."""

    async def send(next_hop: NextHop, host: Host, transmission: Transmission) -> Sequence[Outcome]:
        """Send a message to a host over an open or a new connection. Returns one outcome for each recipient, in order.

        @raise CancelledError: the only exception; nothing more is sent.
        """

    def idle(next_hop: NextHop) -> None:
        """Allow the connections to a next hop to be closed, because no message waits for it."""

    def wind_up(grace: float) -> None:
        """Begin no transmission, and abort those that have not sent the end of their message.

        Those that wait for the final reply are aborted after `grace` seconds. Aborted ones have BROKEN_OFF outcomes.
        """

    async def close(grace: float) -> None:
        """Wind up. Returns when all connections are closed."""


class IRouter(Interface):
    """Routing of mail outside an SMTP session."""

    async def next_hop(row: QueueRow) -> NextHop:
        """Return the next hop of a queue row. Looked up at each attempt, so that a corrected route applies to it."""

    async def sender(row: QueueRow) -> Address | None:
        """Return the reverse-path to send: the row's own, or a rewritten one (SRS) if the row is forwarded."""

    async def resolve(forward_path: Address) -> Sequence[Route]:
        """Return the routes of mail that this system composes, such as a DSN. Empty for an unknown local address."""


class IMaildrop(pop3.IMailbox):
    """An open, locked maildrop: pop3.IMailbox over the snapshot taken at login, and methods for streaming.

    Indices count from 0 over the snapshot. `listMessages` and `getUidl` answer from memory; the size of a deleted
    message is 0. `getMessage` returns a Deferred of a file. `sync` returns a Deferred that fires when the deletes are
    on disk.
    """

    def size_of(index: int) -> int:
        """Return the octets of a message as RETR sends it, without dot-stuffing (RFC 1939 §11), even if deleted."""

    def needs_utf8(index: int) -> bool:
        """Return whether a message is an SMTPUTF8 message (RFC 6856 §2)."""

    def pieces(index: int) -> AsyncIterator[tuple[bytes, bool]]:
        """Return a message in pieces of at most 256 KiB with CRLF lines, each read in its own transaction.

        With each piece comes whether it may have a line that begins with a dot. The first piece begins a line.

        @raise MaildropLost: another session took over the maildrop.
        @raise StoreDamaged: the next piece differs from what was accepted; it is not returned."""

    def touch() -> None:
        """Note activity of the client, so that the session does not count as idle."""

    def release() -> None:
        """Release the lock. May be called twice. Deletes that were not synced are void."""


class IMaildrops(Interface):
    """Access of POP3 to the maildrops of the store."""

    async def open(account_id: int) -> IMaildrop:
        """Lock the maildrop and take its snapshot.

        @raise MaildropInUse: another active session holds the lock."""


class IDirectory(Interface):
    """Directory of accounts, domains and addresses for policy. Answers come from a cache no older than a second.

    While there is no domain at all, each method raises NoDomains instead of an empty answer: an address that an empty
    store does not know may exist nevertheless. The same applies to IAliases.
    """

    async def is_local_domain(domain_key: str) -> bool:
        """Return whether a domain (lower-case A-labels) is local."""

    async def default_domain() -> str:
        """Return the domain of a bare <postmaster> (RFC 5321 §4.5.1): the first that was added."""

    async def find_address(local_key: str, domain_key: str) -> Account | None:
        """Return the account with exactly this address, by `Address.key`: its own name or an alias."""

    async def find_login(name_key: tuple[str, str]) -> Login | None:
        """Return the account with this own address, and its credentials, even if it is disabled."""


class IAliases(Interface):
    """Aliases of this system, for policy."""

    async def targets(local_key: str, domain_key: str) -> Sequence[Address]:
        """Return the local and remote targets of exactly this alias, in order. Empty if there is no such alias.

        The catch-all of a domain, which stands for all unknown names, is its alias with an empty local part.
        """
