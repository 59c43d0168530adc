"""What fetching speaks of: what is wanted, how far it is, and what came of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from emailsys.client.accounts.values import Keep


class Stage(enum.Enum):
    """Where a fetch stands."""

    CONNECTING = "connecting"
    LISTING = "listing"
    FETCHING = "fetching"
    DELETING = "deleting"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one account's fetch is; messages and octets count those that are new and wanted. `note`: in words.

    `messages` are on disk here; `octets` have come.
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
    """A message on the server. `header` is its header section, and so many lines of its body as were asked for."""

    uid: str
    octets: int
    header: bytes = b""
    fetched: bool = False


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Which messages are fetched and what becomes of those on the server; the defaults are the account's settings.

    `uids` names messages, whatever their size and whether they were fetched before. `max_octets` of 0 is no limit.
    `newest` fetches so many of the latest new ones only.
    """

    uids: frozenset[str] | None = None
    max_octets: int | None = None
    keep: Keep | None = None
    newest: int | None = None


EVERYTHING_NEW = FetchOptions()


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What came of fetching one account. `keys` are those of the archive. `too_big` were left on the server.

    `problem` is None if all went well, else what failed and why, in words; what was fetched before that is safe.
    `transient`: trying again may help. `advice` says what a person can do.
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


class FetchError(Exception):
    """The server cannot be asked; the message is fit to be shown."""

    def __init__(self, message: str, advice: str = "", *, transient: bool = False) -> None:
        super().__init__(message)
        self.advice = advice
        self.transient = transient
