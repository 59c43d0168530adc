"""Send what waits in the outbox through the account's submission server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account
from emailsys.client.archive.archive import Archive
from emailsys.client.outbox import Outbox, Refusal


@dataclass(frozen=True, slots=True)
class SendProgress:
    """How much of a message is on its way."""

    key: str
    octets: int
    all_octets: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """How sending one message ended.

    `accepted` are the recipients whom the server took it for: from then on it cannot be stopped. `problem` is None if
    all were accepted, else what failed and why, in words. `waits`: it is still in the outbox and will be tried again.
    `in_doubt`: the connection broke before the last reply; the server may have taken it, and it may arrive twice.
    `reply` is the server's last word on the message.
    """

    key: str
    account: str
    accepted: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    problem: str | None = None
    advice: str = ""
    waits: bool = False
    in_doubt: bool = False
    reply: str = ""


class Sender:
    """Sends messages of the outbox. One for the whole program."""

    def __init__(
        self,
        reactor: Any,
        archive: Archive,
        outbox: Outbox,
        secrets: Secrets,
        now: Callable[[], datetime],
        progress: Callable[[SendProgress], None] = lambda progress: None,
    ) -> None: ...

    async def send(self, account: Account, key: str) -> Sent:
        """Wait until its hold is over, then send it now. Never raises for what servers or disks do.

        Cancelled while it is held, it stays in the outbox; see Outbox.stop.
        """

    async def flush(self, accounts: Sequence[Account]) -> Sequence[Sent]:
        """Send all that is due, accounts side by side, over one connection each."""

    async def close(self) -> None:
        """Say goodbye to servers."""
