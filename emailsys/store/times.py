"""Times as the tables keep them: microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

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
