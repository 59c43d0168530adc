"""The daemon's reactor: Twisted's epoll reactor on the monotonic clock, without a log context for each event."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.epollreactor import EPollReactor
from typing_extensions import override
from zope.interface import implementer

from emailsys.net.serving.turn_end import ITurns
from emailsys.upstream import UnloggedPoll


@implementer(ITurns)
class MailReactor(UnloggedPoll, EPollReactor):
    """Passes each event to its descriptor directly.

    Twisted makes a dictionary and five calls for each event, so that its old logging interface can name the connection.
    Our log events name their session themselves. A message arrives in four reads, so the context costs a twelfth of
    the CPU time. The main loop logs an exception that leaves `doPoll`, and epoll reports the remaining events again.
    """

    # Twisted's own clock is that of the wall, by whose jumps all timers would fire at once, or not for a long time.
    seconds = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._turn_calls: list[Callable[[], None]] = []
        super().__init__()

    def at_turn_end(self, call: Callable[[], None]) -> None:
        """Call a function once, after the events of this turn or before the next poll.

        A delayed call would cost a tenth of the Python code of a RETR.
        """
        self._turn_calls.append(call)

    @override
    def doIteration(self, delay: float | None) -> None:
        if self._turn_calls:
            self._end_turn()
            if self._turn_calls:
                # They have registered others, which must not wait for the next event.
                delay = 0
            elif delay is None or delay > 0:
                # The functions may have made delayed calls.
                delay = self.timeout()
        self.doPoll(delay)
        if self._turn_calls:
            self._end_turn()

    def _end_turn(self) -> None:
        calls, self._turn_calls = self._turn_calls, []
        for call in calls:
            call()
