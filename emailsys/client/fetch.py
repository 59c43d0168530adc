"""Fetch mail by POP3: kept and synced here first, recorded, and only then deleted there."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, Keep
from emailsys.client.archive.archive import Archive


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
    """How far one account's fetch is; messages and octets count those that are new and wanted. `note`: in words."""

    account: str
    stage: Stage
    messages: int = 0
    all_messages: int = 0
    octets: int = 0
    all_octets: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message on the server. `header` is its header section, and so many lines of its body as were asked for."""

    uid: str
    octets: int
    header: bytes = b""
    fetched: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are fetched and what becomes of those on the server; the defaults are the account's settings.

    `uids` names messages, whatever their size and whether they were fetched before. `max_octets` of 0 is no limit.
    `newest` fetches so many of the latest ones only.
    """

    uids: frozenset[str] | None = None
    max_octets: int | None = None
    keep: Keep | None = None
    newest: int | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of fetching one account. `keys` are those of the archive. `too_big` were left on the server.

    `problem` is None if all went well, else what failed and why, in words; what was fetched before that is safe.
    `transient`: trying again may help. `advice` says what a person can do.
    """

    account: str
    keys: tuple[str, ...] = ()
    octets: int = 0
    deleted: int = 0
    on_server: int = 0
    too_big: tuple[Waiting, ...] = ()
    problem: str | None = None
    advice: str = ""
    transient: bool = False


class Fetcher:
    """Fetches mail into the archive. One for the whole program."""

    def __init__(
        self,
        reactor: Any,
        archive: Archive,
        secrets: Secrets,
        state: Path,
        now: Callable[[], datetime],
        progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """@param state: such as `places.state_folder()`."""

    async def fetch(self, account: Account, wanted: Wanted = Wanted()) -> Fetched:
        """Fetch one account's new messages into its Inbox. Never raises for what servers, disks or people do."""
        ...

    async def fetch_all(self, accounts: Sequence[Account], wanted: Wanted = Wanted()) -> Sequence[Fetched]:
        """Fetch accounts side by side; results in their order."""
        ...

    async def preview(self, account: Account, lines: int = 0) -> Sequence[Waiting]:
        """What is on the server, the latest first, each with header and so many lines (TOP); nothing is fetched.

        @raise FetchError: it cannot be told; the message says why.
        """
        ...

    async def watch(
        self,
        accounts: Sequence[Account],
        seconds: float,
        fetched: Callable[[Fetched], None],
        wanted: Wanted = Wanted(),
    ) -> None:
        """Fetch again and again, each account so many seconds after its last fetch ended, until cancelled."""


class FetchError(Exception):
    """The server cannot be asked; the message is fit to be shown."""
