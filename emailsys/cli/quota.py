"""Quotas, as users type them and as they read the usage."""

from __future__ import annotations

import math

from emailsys.cli.amounts import octets_of
from emailsys.interfaces.operators import WARN_AT


def quota_octets(text: str) -> int | None:
    """Return the octets of a quota: 0 for `none`, None for `default`.

    @raise Refused: the text is neither of these nor a size.
    """
    if text == "default":
        return None
    return 0 if text == "none" else octets_of(text)


def quota_text(name: str, octets: int | None, size: str) -> str:
    """Return the answer to a change of a quota, for a name and a size as they were typed.

    @param octets: as `quota_octets` returned them for the size.
    """
    return f"{name} has no limit" if octets == 0 else f"the quota of {name} is {size}"


def shown_share(used: float | None) -> str | None:
    """Format the usage of a quota as a percentage, with a word if it is nearly full."""
    if used is None:
        return None
    word = " full" if used >= 1 else " nearly full" if used >= WARN_AT else ""
    # Rounded down, so that 99.9 % does not look full.
    return f"{math.floor(used * 100)} %{word}"
