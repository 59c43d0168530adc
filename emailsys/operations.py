"""What operators ask of the store: accounts, the queue, the life of messages, aliases, routes, quotas, the ledger."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from zope.interface import Interface

from emailsys.mail.address import Address
from emailsys.mail.next_hop import HostRoute


@dataclass(frozen=True, slots=True)
class UserRow:
    """What `user list` shows: octets and count of the messages in the maildrop, and its bound, 0 for none."""

    address: Address
    enabled: bool
    messages: int
    octets: int
    quota: int = 0


@dataclass(frozen=True, slots=True)
class DomainRow:
    """What `domain list` shows: octets of the messages in all its maildrops, and their bound, 0 for none."""

    name: str
    postmaster: Address | None
    users: int
    octets: int = 0
    quota: int = 0


class AdminError(Exception):
    """An administrative command cannot be carried out; the message says why and what to do."""


class IAccounts(Interface):
    """Administration of domains and accounts. Every change bumps the generation that caches check.

    Each method raises AdminError for what does not exist, exists already, or must not be done.
    """

    async def add_domain(name: str, postmaster: Address) -> None:
        """Add a domain with postmaster and abuse, both delivered to one account of a domain of this system, this one
        among them. The account may be made later; until then they have nobody.
        """

    async def list_domains() -> Sequence[DomainRow]:
        """In the order in which they were added."""

    async def remove_domain(name: str) -> None:
        """Refused while it has users, or the postmaster of another domain."""

    async def add_user(address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        """Add an account with one credentials row for each scheme."""

    async def list_users(domain: str | None) -> Sequence[UserRow]:
        """By domain, then local part."""

    async def remove_user(address: Address, purge: bool) -> None:
        """Refused while mail exists unless `purge`, which may have deleted some of it when it fails with StoreError.

        Refused while it is a domain's postmaster, but for the last user of that very domain: else no domain could go.
        """

    async def set_credentials(address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        """Replace the account's credentials."""

    async def renew_secret(account_id: int, scheme: str, old: str, new: str) -> bool:
        """Replace a stored secret by another of the same password. Returns whether it was still the old one; if it is
        not, or the account is gone, nothing changes."""

    async def set_enabled(address: Address, enabled: bool) -> None:
        """A disabled account cannot log in, and not send where it is logged in; its mail is still received."""


class RowState(enum.Enum):
    """Where a queue row stands."""

    WAITING = "waiting"
    # An attempt is under way, or it waits for its turn in a queue runner.
    LEASED = "leased"
    # By an operator; it is not tried until it is released.
    HELD = "held"


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which rows of the queue a command is about: those for which all holds that is given.

    `queue_ids` name messages; `domain` is the recipient's, `sender` the reverse-path or its domain, "<>" for the null
    one; `older_than` is in seconds since the message arrived.
    """

    queue_ids: tuple[str, ...] = ()
    domain: str = ""
    sender: str = ""
    state: RowState | None = None
    older_than: float = 0.0


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """What `queue list` shows of one recipient."""

    row_id: int
    queue_id: str
    reverse_path: Address | None
    forward_path: Address
    state: RowState
    arrived_at: datetime
    # None for a held one.
    due_at: datetime | None
    octets: int
    attempts: int
    warned: bool
    last_reply: str
    last_remote: str


@dataclass(frozen=True, slots=True)
class DomainQueue:
    """What `queue summary` shows of one recipient domain."""

    domain: str
    waiting: int
    leased: int
    held: int
    oldest: datetime
    next_due: datetime | None


class QueueChange(enum.Enum):
    """What an operator can do to rows of the queue."""

    # Due at once, however long the wait would have been.
    RETRY = "retry"
    # Not tried any more. What is being sent at the moment is held when that attempt ends without success.
    HOLD = "hold"
    # Held rows are due at once.
    RELEASE = "release"
    # Taken out of the queue, and nobody is told.
    DROP = "drop"


class IQueueOperations(Interface):
    """The operator's view of the queue."""

    async def entries(which: QueueFilter, limit: int, after: int = 0) -> Sequence[QueueEntry]:
        """Rows in the order in which they were accepted, at most `limit`, those after the row id `after`."""

    async def summary() -> Sequence[DomainQueue]:
        """By recipient domain, the most rows first."""

    async def change(which: QueueFilter, change: QueueChange) -> int:
        """Change all rows that fit, in bounded steps. Returns how many changed."""


class EventKind(enum.Enum):
    """What can happen to a message, in the words of the events table."""

    ACCEPTED = "accepted"
    STORED = "stored"
    QUEUED = "queued"
    EXPANDED = "expanded"
    # An attempt that ended without success for now.
    DELAYED = "delayed"
    # The sender was told of the delay.
    WARNED = "warned"
    FETCHED = "fetched"
    RETRIED = "retried"
    HELD = "held"
    RELEASED = "released"
    # Who had it in hand has ended, or was cut off, without a word of how its attempt went.
    INTERRUPTED = "interrupted"
    # A notice about the message, itself a message.
    NOTICE = "notice"
    # The fates, by their names.
    RELAYED = "relayed"
    FAILED = "failed"
    FAILED_UNTOLD = "failed untold"
    DELETED = "deleted"
    DROPPED = "dropped"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened to a message, or to one recipient of it."""

    at: datetime
    kind: EventKind
    recipient: str = ""
    # The remote host's words, or ours on what we saw of it.
    reply: str = ""
    remote: str = ""
    # Whether the reply to the final dot was never seen (RFC 1047).
    in_doubt: bool = False
    # The queue id of the notice; for EXPANDED, the ways out.
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """All that is known of one message. `client` is who brought it: session, ip, helo, protocol, tls, account."""

    queue_id: str
    arrived_at: datetime
    reverse_path: str | None
    header_id: str
    octets: int
    client: dict[str, str | None] | None
    # The message that this one tells of, where it is a DSN.
    cause: str
    recipients: tuple[str, ...]
    happenings: tuple[Happening, ...]
    # How many of its recipients wait in the queue, and in how many maildrops it lies.
    queued: int
    stored: int


@dataclass(frozen=True, slots=True)
class Traced:
    """What a part of a search has found, the latest first.

    `cursor` is what the next part begins with, None at the end. `looked` counts the messages that were looked at, and
    `reached` is when the oldest of them arrived, None where there was none.
    """

    lives: tuple[Life, ...]
    cursor: str | None = None
    looked: int = 0
    reached: datetime | None = None


class ITrace(Interface):
    """Where a message is, and what became of it."""

    async def search(
        query: str,
        limit: int,
        since: datetime | None = None,
        cursor: str | None = None,
        seconds: float = math.inf,
    ) -> Traced:
        """Messages by queue id, by Message-ID (with its angle brackets or without), or by an address among sender and
        recipients; the latest first, at most `limit`.

        A search by Message-ID or address goes back in time, for about so many seconds, in steps that let mail through,
        and ends where `limit` is reached: then there is no cursor.
        """


@dataclass(frozen=True, slots=True)
class AliasRow:
    """What `alias list` shows: `name` with an empty local part is the catch-all of its domain."""

    name: Address
    targets: tuple[Address, ...]


class IAliasAdministration(Interface):
    """Aliases of the domains of this system. Each method raises AdminError for what must not be."""

    async def set_alias(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Let a name stand for targets, here or elsewhere, and no longer for others. Not an account's own name."""

    async def add_targets(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Let a name stand for targets too, which may be its first."""

    async def remove_targets(name: Address, targets: Sequence[Address]) -> AliasRow:
        """Let a name no longer stand for targets; with the last of them the alias is gone."""

    async def remove_alias(name: Address) -> None:
        """Remove it."""

    async def list_aliases(domain: str | None) -> Sequence[AliasRow]:
        """By domain, then local part; the catch-all first."""


class IRouteAdministration(Interface):
    """Routes to smart hosts that are kept in the store."""

    async def set_route(route: HostRoute) -> None:
        """Add it, or replace the one for the same domains."""

    async def remove_route(recipient_domain: str, sender_domain: str) -> None:
        """@raise AdminError: there is none."""

    async def routes() -> Sequence[HostRoute]:
        """By sender domain, then recipient domain. Answers come from a cache no older than a second."""


# The share of a bound from which on a maildrop or domain is nearly full, and warned of.
WARN_AT: Final = 0.9


@dataclass(frozen=True, slots=True)
class Usage:
    """Octets in use and the bound on them, 0 for none."""

    octets: int
    limit: int

    @property
    def share(self) -> float:
        """How much of the bound is used, 1.0 for all; 0.0 where there is no bound."""
        return self.octets / self.limit if self.limit else 0.0


class IQuotas(Interface):
    """How much mail accounts and domains may keep."""

    async def usage(account_id: int) -> tuple[Usage, Usage]:
        """Of the account and of its domain. Octets may be some seconds old; they are 0 where there is no bound."""

    async def set_quota(address: Address | str, octets: int | None) -> None:
        """Bound an account, or a domain by its name. 0: without bound; None: as the configuration says.

        @raise AdminError: there is none.
        """


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something in the store that should not be."""

    queue_id: str
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a part of a verification has found.

    `cursor` is what the next part begins with, None at the end. `by_end` counts rows by where they are.
    """

    cursor: str | None
    messages: int
    octets: int
    by_end: dict[str, int]
    flaws: tuple[Flaw, ...]


class IVerification(Interface):
    """The ledger: every accepted recipient is in exactly one place, and every body is what was accepted."""

    async def check(cursor: str | None, seconds: float) -> Checked:
        """Go on from a cursor for about so long, in steps that let commits and checkpoints through."""
