"""Waiting for messages: requests that are answered when mail arrives, or when their time is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from emailsys.web.api.problem import Problem

#: Seconds that a request may wait.
MAX_SECONDS: Final = 120
# Requests that may wait at the same time: all, and those of one account.
_MOST: Final = 200
_MOST_OF_ACCOUNT: Final = 10
# Seconds between two looks: the first, and the longest.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
_GROWTH: Final = 1.3

#: Returns what was waited for, None if it is not there yet.
Look = Callable[[], Awaitable[dict[str, Any] | None]]


class Waiting:
    """Looks again and again, first often, then once a second.

    A look at a maildrop without new mail reads one row of an index. So it is right for every store engine, and for
    mail that another process accepted.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._waiting.total()

    async def wait(self, account_id: int, seconds: float, look: Look) -> dict[str, Any] | None:
        """Return what `look` finds, or None when the time is over.

        @raise Problem: too many requests wait.
        """
        if self._waiting[account_id] >= _MOST_OF_ACCOUNT or self._waiting.total() >= _MOST:
            raise Problem(
                429,
                "too-many-waiting",
                "Too many requests wait",
                f"At most {_MOST_OF_ACCOUNT} of one account, {_MOST} in all.",
                "End one, or try again later.",
                headers=[("Retry-After", "10")],
            )
        self._waiting[account_id] += 1
        try:
            end, pause = self._clock.seconds() + seconds, _FIRST_PAUSE
            while True:
                found = await look()
                left = end - self._clock.seconds()
                if found is not None or left <= 0:
                    return found
                await self._sleep(min(pause, left))
                pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        finally:
            self._waiting[account_id] -= 1
            if not self._waiting[account_id]:
                del self._waiting[account_id]

    def _sleep(self, seconds: float) -> Deferred[None]:
        # Ends the wait when the request is cancelled.
        slept: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, slept.callback, None)
        return slept
