"""The daemon's reactor: Twisted's epoll reactor on the monotonic clock, without a log context for each event."""

from __future__ import annotations

import time

from twisted.internet.epollreactor import EPollReactor

from emailsys.upstream import UnloggedPoll


class MailReactor(UnloggedPoll, EPollReactor):
    """Passes each event to its descriptor directly.

    Twisted makes a dictionary and five calls for each event, so that its old logging interface can name the connection.
    Our log events name their session themselves. A message arrives in four reads, so the context costs a twelfth of
    the CPU time. The main loop logs an exception that leaves `doPoll`, and epoll reports the remaining events again.
    """

    doIteration = UnloggedPoll.doPoll
    # Twisted's own clock is that of the wall, by whose jumps all timers would fire at once, or not for a long time.
    seconds = staticmethod(time.monotonic)
