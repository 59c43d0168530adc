"""Find an account's servers from its address: known providers, autoconfig, SRV records, then guesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emailsys.client.accounts.values import Server
from emailsys.mail.address import Address


@dataclass(frozen=True, slots=True)
class Found:
    """Settings for an address, most likely ones first. `source` says in words where they come from; `advice` what a
    provider asks for (an app password, POP3 to be switched on), "" for nothing."""

    pop3: tuple[Server, ...]
    smtp: tuple[Server, ...]
    source: str
    advice: str = ""


class Discovery:
    """Asks what can be asked; each question may fail, and none takes longer than a few seconds."""

    def __init__(self, reactor: Any, *, network: bool = True) -> None:
        """@param network: False asks nobody, and knows the provider file and guesses only."""

    async def discover(self, address: Address) -> Sequence[Found]:
        """What was found, the most trustworthy first; the last one is always the guess."""
        ...
