"""The history of messages, and the check of the ledger."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from datetime import datetime

from zope.interface import Interface


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
    # For FETCHED and DELETED: the unique-id that POP3 gave the message in that maildrop.
    uid: str = ""


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
