"""The forward of an account: where its mail goes besides its maildrop, or instead of it."""

from __future__ import annotations

from dataclasses import dataclass

from emailsys.mail.address import Address


@dataclass(frozen=True, slots=True)
class Forward:
    """The targets of a forward, and whether the maildrop of the account keeps a copy."""

    targets: tuple[Address, ...]
    keeps_copy: bool
