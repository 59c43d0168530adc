"""Try an account's settings: connect, TLS, login; say at which step it failed, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, Server


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How trying a server went. `problem` is None if all held, else says what failed and why; `advice` what to do.

    `fingerprint` is that of the certificate which the server showed, also where it was refused, so that it can be
    pinned; `names` tells for whom it is. `tls` is version and suite, `offers` what the server offers.
    """

    server: Server
    protocol: str
    problem: str | None = None
    advice: str = ""
    tls: str = ""
    fingerprint: str = ""
    offers: tuple[str, ...] = ()
    messages: int | None = None


async def try_pop3(reactor: Any, account: Account, secrets: Secrets) -> TrialResult:
    """Log in at the account's POP3 server and look at the maildrop; nothing is fetched or deleted."""
    ...


async def try_smtp(reactor: Any, account: Account, secrets: Secrets) -> TrialResult:
    """Log in at the account's submission server; nothing is sent."""
    ...
