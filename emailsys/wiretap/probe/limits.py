"""Limits of a probe: time for all of it, time for one answer, octets; and what it means if they are exceeded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, TypeVar

# Seconds. RFC 5321 §4.5.3.2 allows minutes for one answer, which is too long for a person who watches a probe.
_ANSWER: Final = 10.0
#: Octets of one line. RFC 5321 §4.5.3.1.5: a reply line has at most 512, RFC 2449 §4 the same for POP3.
LONGEST_LINE: Final = 4096
#: Octets that one connection may send.
MOST_OCTETS: Final = 2**18
#: Lines of one reply.
MOST_LINES: Final = 200


# Seconds before a server that refused a connection is asked again. Exim counts connections for a while after their end.
_PAUSES: Final = (0.3, 1.0, 2.0, 4.0)
_Result = TypeVar("_Result")


class Failure(StrEnum):
    """Why a probe, or a part of it, came to no result."""

    UNREACHABLE = "unreachable"
    STALLED = "stalled"
    CLOSED = "closed"
    FLOODED = "flooded"
    MALFORMED = "malformed"
    REFUSED = "refused"
    OUT_OF_TIME = "out of time"


class ProbeError(Exception):
    """A part of a probe came to no result. The message is a sentence for people."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(text)
        self.failure = failure
        self.text = text


class Deadline:
    """The end of a probe. Threads share it."""

    def __init__(
        self,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        answer: float = _ANSWER,
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        """
        @param answer: seconds that one answer may take.
        @param pauses: seconds before a server that refused is asked again.
        """
        self.pauses = pauses
        self._clock = clock
        self._answer = answer
        self.began = clock()
        self._end = self.began + seconds
        self._cancelled = threading.Event()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self.began

    def left(self) -> float:
        """Seconds until the end, 0 after it."""
        return max(0.0, self._end - self._clock())

    def answer(self) -> float:
        """Seconds that an answer may take now.

        @raise ProbeError: the time is over.
        """
        left = min(self._answer, self.left())
        if left <= 0:
            raise ProbeError(Failure.OUT_OF_TIME, "The time for the probe is over.")
        return left

    def cancel(self) -> None:
        """Ends the time now."""
        self._end = self.began
        self._cancelled.set()

    def pause(self, seconds: float) -> None:
        """Waits, at most until the end.

        @raise ProbeError: the time is over.
        """
        self._cancelled.wait(min(seconds, self.left()))
        self.answer()


def patiently(deadline: Deadline, ask: Callable[[], _Result]) -> _Result:
    """Asks again, after a pause, if the server refuses the connection: it may limit connections from one address.

    @raise ProbeError: it refused each time, or failed in another way.
    """
    for seconds in deadline.pauses:
        try:
            return ask()
        except ProbeError as error:
            if error.failure is not Failure.REFUSED:
                raise
        deadline.pause(seconds)
    return ask()
