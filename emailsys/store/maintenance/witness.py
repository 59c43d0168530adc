"""Witnessed time: how long ago something was, without the time in which the clock jumped or no daemon ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from emailsys.store.commit.database import Database
from emailsys.store.schema.columns import SECOND, of_seconds
from emailsys.store.schema.tables import clock_looks

# Microseconds between two looks that need no witness. Looks are minutes apart.
_LEAST_GAP: Final = 3600 * SECOND
# Microseconds between two looks that are recorded.
_RECORD_EVERY: Final = 600 * SECOND


class WitnessedTime:
    """Age by witnessed time.

    A clock that is 400 days ahead would otherwise delete all mail and all history at once, and nothing would bring them
    back. So time counts only if a daemon ran through it, by the monotonic clock. Mail is kept longer by the time in
    which the system was down.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        """@param now: seconds since 1970."""
        self._database = database
        self._now = now
        # The monotonic clock at the last look of this process, in microseconds.
        self._looked_at: int | None = None
        # The wall clock at that look.
        self._wall = 0
        self._recorded_at = 0
        # Times since 1970, each with the gap before it, the latest first.
        self._gaps: Sequence[tuple[int, int]] = ()

    async def look(self) -> tuple[int, int]:
        """Look at the clock. Returns the time in microseconds since 1970, and a gap that was found before it, or 0.

        @raise StoreError: nothing is known. Do not delete anything.
        """
        now, seconds = of_seconds(self._now()), of_seconds(self._database.seconds())
        witnessed = 0 if self._looked_at is None else seconds - self._looked_at
        is_steady = self._looked_at is not None and abs(now - self._wall - witnessed) < _LEAST_GAP
        if is_steady and seconds - self._recorded_at < _RECORD_EVERY:
            return now, 0

        def record(connection: Connection) -> tuple[int, list[tuple[int, int]]]:
            found = connection.execute(select(clock_looks).order_by(clock_looks.c.at.desc())).all()
            # The clock was ahead, and is right again.
            ahead = [look for look in found if look.at >= now]
            connection.execute(delete(clock_looks).where(clock_looks.c.at >= now))
            looks = found[len(ahead) :]
            # The ends of witnessed time. A look that was ahead witnessed nothing of the gap before it.
            ends = [min(look.at - look.gap for look in ahead)] if ahead else [look.at for look in looks[:1]]
            if self._looked_at is not None:
                ends.append(self._wall + witnessed)
            gap = now - max(ends, default=now)
            gap = gap if gap >= _LEAST_GAP else 0
            connection.execute(delete(clock_looks).where(clock_looks.c.gap == 0))
            connection.execute(insert(clock_looks).values(at=now, gap=gap))
            return gap, [(now, gap), *((look.at, look.gap) for look in looks if look.gap)]

        gap, self._gaps = await self._database.run("clock-look", record)
        self._looked_at = self._recorded_at = seconds
        self._wall = now
        return now, gap

    def ago(self, now: int, age: int) -> int:
        """Return the time since which `age` has passed, both in microseconds. Call `look` before."""
        until = now
        for at, gap in self._gaps:
            if until - at >= age:
                break
            if gap:
                age -= until - at
                until = at - gap
        return until - age
