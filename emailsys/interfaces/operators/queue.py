"""The queue, as operators see and change it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from zope.interface import Interface

from emailsys.mail.address import Address


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
