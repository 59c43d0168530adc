"""Values of a fetch: options, progress, and result."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from emailsys.client.accounts.values import Keep


class Stage(enum.Enum):
    """Stage of a fetch."""

    CONNECTING = "connecting"
    LISTING = "listing"
    FETCHING = "fetching"
    DELETING = "deleting"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of one account's fetch. `messages` are stored, `octets` are received.

    `all_messages` and `all_octets` count what this fetch selected on the server. `note` is a text for the user.
    """

    account: str
    stage: Stage
    messages: int = 0
    all_messages: int = 0
    octets: int = 0
    all_octets: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """A message on the server. `header` is its header section, with the requested lines of its body."""

    uid: str
    octets: int
    header: bytes = b""
    fetched: bool = False


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Which messages to fetch, and whether to delete them on the server. None stands for the account's setting.

    - `uids` selects messages, regardless of their size and of earlier fetches.
    - `max_octets` is a size limit; 0 is no limit.
    - `newest` limits the fetch to that number of the latest new messages.
    - `again` ignores earlier fetches: all messages that are not in the local store are new.
    """

    uids: frozenset[str] | None = None
    max_octets: int | None = None
    keep: Keep | None = None
    newest: int | None = None
    again: bool = False


EVERYTHING_NEW = FetchOptions()


@dataclass(frozen=True, slots=True)
class FetchResult:
    """Result of fetching one account.

    - `keys` are the archive's keys of the fetched messages.
    - `too_big` are the messages left on the server because of their size.
    - `problem` is None after success, or else a text about the failure. Messages fetched before it are safe.
    - `advice` tells the user what to do. `transient`: a retry may succeed.
    - `filed` is the number of messages that rules put into another folder than Inbox.
    - `notes` are sentences about rules that could not be followed, and a notification that failed.
    """

    account: str
    keys: tuple[str, ...] = ()
    octets: int = 0
    deleted: int = 0
    on_server: int = 0
    too_big: tuple[ServerMessage, ...] = ()
    problem: str | None = None
    advice: str = ""
    transient: bool = False
    filed: int = 0
    notes: tuple[str, ...] = ()


class FetchError(Exception):
    """A fetch failed. The message can be shown to the user."""

    def __init__(self, message: str, advice: str = "", *, transient: bool = False) -> None:
        super().__init__(message)
        self.advice = advice
        self.transient = transient
