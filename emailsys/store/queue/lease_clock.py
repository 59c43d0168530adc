"""The clock for the ends of leases: it never jumps, and only the process that wrote an end compares it."""

from __future__ import annotations

from collections.abc import Callable

from emailsys.store.schema.columns import of_seconds


class LeaseClock:
    """The wall clock at the start of this process, and from then on the monotonic clock.

    So the end of a lease is a date like the others in its column, and no jump of the wall clock changes the time until
    then.
    """

    def __init__(self, seconds: Callable[[], float], now: Callable[[], float]) -> None:
        """
        @param seconds: the monotonic clock.
        @param now: the wall clock, in seconds since 1970.
        """
        self._seconds = seconds
        self._offset = now() - seconds()

    def microseconds(self) -> int:
        """Return the time in microseconds since 1970."""
        return of_seconds(self._offset + self._seconds())
