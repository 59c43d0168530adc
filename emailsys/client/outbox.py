"""What waits to be sent: on disk before anything is sent, until the server has taken it or a person takes it back."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from emailsys.client.archive.archive import Archive
from emailsys.client.compose.build import Composed


class State(enum.Enum):
    """What can still be done with a message in the outbox."""

    #: Held until `due`: it can be stopped.
    HELD = "held"
    #: It goes with the next `flush`: it can be stopped.
    WAITING = "waiting"
    #: A program is sending it now: it cannot be stopped any more.
    SENDING = "sending"
    #: The server refused it for good: it stays until a person edits, retries or deletes it.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipient that was not accepted, and the server's words."""

    address: str
    reply: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Notices:
    """Delivery status notifications asked for (RFC 3461); used where the server offers DSN."""

    success: bool = False
    failure: bool = True
    delay: bool = True
    whole_message: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """A message in the outbox. `recipients` are those that did not get it yet. `attempts` were made so far;
    `last_problem` says why the last one failed, "" if none did."""

    key: str
    account: str
    state: State
    due: datetime
    sender: str
    recipients: tuple[str, ...]
    message_id: str
    octets: int
    attempts: int = 0
    last_problem: str = ""
    refusals: tuple[Refusal, ...] = ()
    may_be_sent: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """Whether a message could be stopped, and in words what became of it; `draft` is its key in Drafts."""

    stopped: bool
    words: str
    draft: str | None = None


class Outbox:
    """Messages that wait to be sent, in the folder Outbox of each account. Blocking: call it from a thread."""

    def __init__(self, archive: Archive, state: Path, now: Callable[[], datetime]) -> None:
        """@param state: such as `places.state_folder()`."""

    def put(self, account: str, message: Composed, *, hold: float = 0.0, notices: Notices | None = None) -> str:
        """Keep a message until it is sent; on disk when this returns its key.

        @param hold: seconds in which nobody sends it, so that it can be stopped.
        """

    def list(self, account: str | None = None) -> Sequence[Queued]:
        """What waits, the oldest first."""

    def get(self, key: str) -> Queued:
        """One of them. @raise NoSuchMessage: it is not in an outbox (any more)."""

    def stop(self, key: str) -> Stopped:
        """Take a message back into Drafts, if it was not begun to be sent. Says plainly what can still be stopped."""

    def retry(self, key: str) -> None:
        """Let a refused or held message go with the next flush."""
