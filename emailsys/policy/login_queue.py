"""Queue of the logins whose passwords wait for verification: networks take turns, so that none holds up the others."""

from __future__ import annotations

from collections import OrderedDict, deque

from twisted.internet.defer import Deferred

from emailsys.interfaces import LoginBusy


class LoginQueue:
    """Turns at verification: `slots` at the same time.

    Each network prefix has its own queue, and the queues take turns. A prefix without failed logins comes before all
    that wait already, so that a user's first login is not delayed by an attack from thousands of addresses.
    """

    def __init__(self, slots: int, most: int) -> None:
        """
        @param slots: logins that are verified at the same time.
        @param most: logins that may wait. At one more, the last of the prefix whose turn is last is refused.
        """
        self._free = slots
        self._most = most
        self._queues: OrderedDict[str, deque[Deferred[None]]] = OrderedDict()
        self._is_handing_out = False
        #: Number of logins that wait.
        self.waiting = 0

    async def turn(self, prefix: str, *, is_clean: bool) -> None:
        """Wait for a turn. The caller then calls `done` once.

        @param is_clean: whether the prefix has no failed logins.
        @raise LoginBusy: too many logins wait.
        """
        if self._free:
            self._free -= 1
            return
        queue = self._queues.get(prefix)
        if queue is None:
            queue = self._queues[prefix] = deque()
            if is_clean:
                self._queues.move_to_end(prefix, last=False)
        turn: Deferred[None] = Deferred()
        queue.append(turn)
        self.waiting += 1
        if self.waiting > self._most:
            self._refuse_last()
        await turn

    def done(self) -> None:
        """End a turn, and give it to the next login."""
        self._free += 1
        if self._is_handing_out:
            # A login ended its turn at once. The loop below goes on with the next: no recursion for each one.
            return
        self._is_handing_out = True
        try:
            while self._free and self._queues:
                self._free -= 1
                self._next().callback(None)
        finally:
            self._is_handing_out = False

    def _next(self) -> Deferred[None]:
        prefix, queue = next(iter(self._queues.items()))
        turn = queue.popleft()
        self.waiting -= 1
        if queue:
            self._queues.move_to_end(prefix)
        else:
            del self._queues[prefix]
        return turn

    def _refuse_last(self) -> None:
        prefix, queue = next(reversed(self._queues.items()))
        turn = queue.pop()
        self.waiting -= 1
        if not queue:
            del self._queues[prefix]
        turn.errback(LoginBusy())
