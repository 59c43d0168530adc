"""Queue of work for clients, such as the verification of passwords, in which networks take turns."""

from __future__ import annotations

from collections import OrderedDict, deque

from twisted.internet.defer import Deferred


class FairQueue:
    """Gives clients turns at a kind of work, at most `slots` of them at the same time.

    Each network prefix has its own queue, and the queues take turns. A prefix without failures comes before all that
    wait already, so that a new client is not delayed by an attack from thousands of addresses.
    """

    def __init__(self, slots: int, most: int) -> None:
        """
        @param slots: clients that have a turn at the same time.
        @param most: clients that may wait. If one more comes, the last one of the prefix whose turn is last is refused.
        """
        self._free = slots
        self._most = most
        self._queues: OrderedDict[str, deque[Deferred[bool]]] = OrderedDict()
        self._is_handing_out = False
        #: Number of clients that wait.
        self.waiting = 0

    async def turn(self, prefix: str, *, is_clean: bool) -> bool:
        """Wait for a turn. The caller then calls `done` once.

        @param is_clean: whether the prefix has no failures.
        @return: False if too many clients wait. Then there is no turn to end.
        """
        if self._free:
            self._free -= 1
            return True
        queue = self._queues.get(prefix)
        if queue is None:
            queue = self._queues[prefix] = deque()
            if is_clean:
                self._queues.move_to_end(prefix, last=False)
        turn: Deferred[bool] = Deferred()
        queue.append(turn)
        self.waiting += 1
        if self.waiting > self._most:
            self._refuse_last()
        return await turn

    def done(self) -> None:
        """End a turn, and give it to the next client."""
        self._free += 1
        if self._is_handing_out:
            # A client ended its turn at once. The loop below goes on with the next: no recursion for each one.
            return
        self._is_handing_out = True
        try:
            while self._free and self._queues:
                self._free -= 1
                self._next().callback(True)
        finally:
            self._is_handing_out = False

    def _next(self) -> Deferred[bool]:
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
        turn.callback(False)
