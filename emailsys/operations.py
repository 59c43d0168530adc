"""Interfaces for operators: accounts, queue, trace of messages, aliases, routes, quotas and verification."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from zope.interface import Interface

from emailsys.mail.address import Address
from emailsys.mail.forward import Forward
from emailsys.mail.next_hop import HostRoute


@dataclass(frozen=True, slots=True)
class UserRow:
    """One row of `user list`: count and octets of the messages in the maildrop, its quota (0 for none), its forward."""

    address: Address
    enabled: bool
    messages: int
    octets: int
    quota: int = 0
    forward: Forward | None = None


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One row of `domain list`: octets of the messages in all its maildrops, and its quota, 0 for none."""

    name: str
    postmaster: Address | None
    users: int
    octets: int = 0
    quota: int = 0


class AdminError(Exception):
    """An administrative command cannot be carried out. The message says why, and what to do."""


class IAccounts(Interface):
    """Administration of domains and accounts. Every change increments the generation that caches check.

    Each method raises AdminError if an object does not exist, already exists, or the change is not allowed.
    """

    async def add_domain(name: str, postmaster: Address) -> None:
        """Add a domain. Its addresses postmaster and abuse are delivered to the account `postmaster`.

        The account is in a local domain, which may be the new one. It may be added later; until then, both addresses
        do not exist.
        """

    async def add_domains(rows: Sequence[tuple[str, Address]]) -> Sequence[str | None]:
        """Add domains in one commit. Returns for each row why it was refused, or None if it was added."""

    async def list_domains() -> Sequence[DomainRow]:
        """Return the domains in the order in which they were added."""

    async def remove_domain(name: str) -> None:
        """Remove a domain. Refused while it has users, or the postmaster of another domain."""

    async def add_user(address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        """Add an account with one row of credentials for each scheme."""

    async def add_users(rows: Sequence[tuple[Address, Sequence[tuple[str, str]]]]) -> Sequence[str | None]:
        """Add accounts in one commit. Returns for each row why it was refused, or None if it was added."""

    async def list_users(domain: str | None) -> Sequence[UserRow]:
        """Return the accounts, of one domain or all, by domain and local part."""

    async def remove_user(address: Address, purge: bool) -> None:
        """Remove an account. Refused while it has mail, unless `purge`.

        If a purge fails with StoreError, some of the mail may already be deleted. Also refused for the postmaster of a
        domain, unless it is the last user of that domain: otherwise no domain could be removed.
        """

    async def set_credentials(address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        """Replace the account's credentials."""

    async def renew_secret(account_id: int, old: tuple[str, str], new: tuple[str, str]) -> bool:
        """Replace a stored secret by another one of the same password. Both are pairs of scheme and secret.

        Returns whether the secret was still `old`. If it was not, or the account is gone, nothing changes.
        """

    async def set_forward(address: Address, targets: Sequence[Address], keeps_copy: bool) -> None:
        """Forward the mail of an account to addresses of this or other systems. Without targets, stop forwarding.

        @param keeps_copy: whether the maildrop of the account receives the mail, too.
        """

    async def set_enabled(address: Address, enabled: bool) -> None:
        """Enable or disable an account.

        A disabled account cannot log in, and its open sessions cannot send. It still receives mail.
        """


class RowState(enum.Enum):
    """The state of a queue row."""

    WAITING = "waiting"
    # An attempt is under way, or the row waits in a queue runner.
    LEASED = "leased"
    # Held by an operator; not tried before it is released.
    HELD = "held"


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Filter of queue rows for a command: rows that match all given fields.

    `queue_ids` are ids of messages. `domain` is the domain of the recipient. `sender` is the reverse-path or its
    domain, "<>" for the null one. `older_than` is in seconds since the arrival.
    """

    queue_ids: tuple[str, ...] = ()
    domain: str = ""
    sender: str = ""
    state: RowState | None = None
    older_than: float = 0.0


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One row of `queue list`: one recipient."""

    row_id: int
    queue_id: str
    reverse_path: Address | None
    forward_path: Address
    state: RowState
    arrived_at: datetime
    # None for a held row.
    due_at: datetime | None
    octets: int
    attempts: int
    warned: bool
    last_reply: str
    last_remote: str


@dataclass(frozen=True, slots=True)
class DomainQueue:
    """One row of `queue summary`: one recipient domain."""

    domain: str
    waiting: int
    leased: int
    held: int
    oldest: datetime
    next_due: datetime | None


class QueueChange(enum.Enum):
    """The changes that an operator can make to queue rows."""

    # The row is due at once.
    RETRY = "retry"
    # The row is not tried any more. A row that is being sent is held if that attempt fails.
    HOLD = "hold"
    # A held row is due at once.
    RELEASE = "release"
    # The row is removed from the queue without a notice.
    DROP = "drop"


class IQueueOperations(Interface):
    """Operator commands on the queue."""

    async def entries(which: QueueFilter, limit: int, after: int = 0) -> Sequence[QueueEntry]:
        """Return at most `limit` rows after the row id `after`, in the order of acceptance."""

    async def summary() -> Sequence[DomainQueue]:
        """Return the counts by recipient domain, the domain with the most rows first."""

    async def change(which: QueueFilter, change: QueueChange) -> int:
        """Change all matching rows, in steps of bounded size. Returns the number of changed rows."""


class EventKind(enum.Enum):
    """The kinds of events of a message. The values stand in the events table."""

    ACCEPTED = "accepted"
    STORED = "stored"
    QUEUED = "queued"
    EXPANDED = "expanded"
    # An attempt failed for now.
    DELAYED = "delayed"
    # The sender was warned of the delay.
    WARNED = "warned"
    FETCHED = "fetched"
    RETRIED = "retried"
    HELD = "held"
    RELEASED = "released"
    # The process that held the lease ended or was cut off before it recorded its attempt.
    INTERRUPTED = "interrupted"
    # A notice about the message was accepted; it is a message too.
    NOTICE = "notice"
    # The fates, see `interfaces.Fate`.
    RELAYED = "relayed"
    FAILED = "failed"
    FAILED_UNTOLD = "failed untold"
    DELETED = "deleted"
    DROPPED = "dropped"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a message, or of one of its recipients."""

    at: datetime
    kind: EventKind
    recipient: str = ""
    # The reply of the remote host, or a text of this system about the failure.
    reply: str = ""
    remote: str = ""
    # Whether the reply to the final dot was not received (RFC 1047).
    in_doubt: bool = False
    # The queue id of the notice; for EXPANDED, the targets.
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """The history of one message. `client` describes its client: session, ip, helo, protocol, tls, account."""

    queue_id: str
    arrived_at: datetime
    reverse_path: str | None
    header_id: str
    octets: int
    client: dict[str, str | None] | None
    # The queue id of the message that a DSN reports on; "" for other mail.
    cause: str
    recipients: tuple[str, ...]
    happenings: tuple[Happening, ...]
    # Number of its recipients in the queue, and number of maildrops that have it.
    queued: int
    stored: int


@dataclass(frozen=True, slots=True)
class Traced:
    """The results of one part of a search, the latest first.

    `cursor` is the start of the next part, None at the end. `looked` counts the messages examined. `reached` is the
    arrival of the oldest of them, None if there was none.
    """

    lives: tuple[Life, ...]
    cursor: str | None = None
    looked: int = 0
    reached: datetime | None = None


class ITrace(Interface):
    """Trace of messages."""

    async def search(
        query: str,
        limit: int,
        since: datetime | None = None,
        cursor: str | None = None,
        seconds: float = math.inf,
    ) -> Traced:
        """Return at most `limit` messages, the latest first.

        The query is a queue id, a Message-ID with or without its angle brackets, or the address of a sender or
        recipient.

        A search by Message-ID or address goes back in time for about `seconds`, in short steps, so that mail is not
        delayed. It ends when `limit` is reached; there is no cursor then.
        """


@dataclass(frozen=True, slots=True)
class AliasRow:
    """One row of `alias list`. A `name` with an empty local part is the catch-all of its domain."""

    name: Address
    targets: tuple[Address, ...]


class IAliasAdministration(Interface):
    """Administration of aliases. Each method raises AdminError if the change is not allowed."""

    async def set_alias(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Set the targets of an alias, local or remote. Its name must not be the address of an account."""

    async def add_targets(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Add targets to an alias. Creates the alias if there is none."""

    async def remove_targets(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Remove targets from an alias. Without targets, the alias is removed."""

    async def remove_alias(name: Address) -> None:
        """Remove an alias."""

    async def list_aliases(domain: str | None) -> Sequence[AliasRow]:
        """Return the aliases, of one domain or all, by domain and local part, the catch-all first."""


class IDelegatedSenders(Interface):
    """Administration of delegated senders: addresses that an account may send from besides those it receives mail for.

    An address with an empty local part stands for its whole domain, and `Address("", "")` for all addresses. Each
    method raises AdminError if there is no such account, and returns its delegated senders by domain and local part.
    """

    async def allow(account: Address, senders: Sequence[Address]) -> Sequence[Address]:
        """Allow an account to send from addresses, of this system or others."""

    async def forbid(account: Address, senders: Sequence[Address]) -> Sequence[Address]:
        """Take back delegations.

        @raise AdminError: one of them does not exist. Nothing was changed.
        """

    async def senders(account: Address) -> Sequence[Address]:
        """Return the delegated senders of an account."""


class IRouteAdministration(Interface):
    """Administration of the routes to smart hosts in the store."""

    async def set_route(route: HostRoute) -> None:
        """Add a route, or replace the one for the same domains."""

    async def remove_route(recipient_domain: str, sender_domain: str) -> None:
        """Remove a route.

        @raise AdminError: there is no such route.
        """

    async def routes() -> Sequence[HostRoute]:
        """Return the routes by sender domain and recipient domain, from a cache no older than a second."""


# Share of a quota above which a maildrop or domain counts as nearly full and gets a warning.
WARN_AT: Final = 0.9


@dataclass(frozen=True, slots=True)
class Usage:
    """Octets in use and their quota, 0 for none."""

    octets: int
    limit: int

    @property
    def share(self) -> float:
        """The used share of the quota; 1.0 is full. 0.0 if there is no quota."""
        return self.octets / self.limit if self.limit else 0.0


class IQuotas(Interface):
    """Quotas of accounts and domains."""

    async def usage(account_id: int) -> tuple[Usage, Usage]:
        """Return the usage of an account and of its domain.

        Octets may be some seconds old. They are 0 if there is no quota.
        """

    async def set_quota(address: Address | str, octets: int | None) -> None:
        """Set the quota of an account, or of a domain by its name.

        @param octets: 0 for no quota; None for the default of the configuration.
        @raise AdminError: there is no such account or domain.
        """


@dataclass(frozen=True, slots=True)
class Flaw:
    """One inconsistency in the store."""

    queue_id: str
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of one part of a verification.

    `cursor` is the start of the next part, None at the end. `by_end` counts the rows by their place or final state.
    """

    cursor: str | None
    messages: int
    octets: int
    by_end: dict[str, int]
    flaws: tuple[Flaw, ...]


class IVerification(Interface):
    """Verification of the ledger: every accepted recipient is in exactly one place, and every body is intact."""

    async def check(cursor: str | None, seconds: float) -> Checked:
        """Verify from a cursor on, for about `seconds`, in short steps, so that commits and checkpoints can run."""
