"""Quotas as people type them, and how full a maildrop is as they read it."""

from __future__ import annotations

import math

from emailsys.cli.amounts import octets_of
from emailsys.operations import WARN_AT


def quota_octets(text: str) -> int | None:
    """The octets of a quota: 0 for `none`, None for `default`.

    @raise Refused: it is neither, and no size.
    """
    if text == "default":
        return None
    return 0 if text == "none" else octets_of(text)


def shown_share(used: float | None) -> str | None:
    """How full a maildrop or domain is, with a word where that needs attention."""
    if used is None:
        return None
    word = " full" if used >= 1 else " nearly full" if used >= WARN_AT else ""
    # Down, so that 99.9 % do not look full.
    return f"{math.floor(used * 100)} %{word}"
