"""Conversions of column values: times in microseconds since 1970 (UTC), addresses in two columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from emailsys.mail.address import Address

SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def of_seconds(seconds: float) -> int:
    """Convert a time or a duration in seconds to microseconds."""
    return int(seconds * SECOND)


def microseconds(moment: datetime) -> int:
    """Convert a time to the value of a column."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """Convert the value of a column to a time."""
    return _EPOCH + microseconds * _MICROSECOND


def reverse_path(local: str | None, domain: str | None) -> Address | None:
    """Make a reverse-path from two columns. NULL is the null reverse-path."""
    return None if local is None or domain is None else Address(local, domain)
