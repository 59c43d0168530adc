"""Values as the columns of tables hold them: times in microseconds since 1970, UTC; addresses in two columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from emailsys.mail.address import Address

SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def of_seconds(seconds: float) -> int:
    """The microseconds of a clock's reading, or of a span, in seconds."""
    return int(seconds * SECOND)


def microseconds(moment: datetime) -> int:
    """The column's value for a time."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """The time of a column's value."""
    return _EPOCH + microseconds * _MICROSECOND


def reverse_path(local: str | None, domain: str | None) -> Address | None:
    """The reverse-path of two columns."""
    return None if local is None or domain is None else Address(local, domain)
