"""Clients that wait for their turn: networks take turns."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.policy.fair_queue import FairQueue


class FairQueueTests(SynchronousTestCase):
    """One slot, which the login `first` has."""

    def setUp(self) -> None:
        self.queue = FairQueue(1, 5)
        self.order: list[str] = []
        self.successResultOf(self.come("first"))

    def come(self, name: str, prefix: str = "", *, is_clean: bool = False) -> Deferred[bool]:
        async def login() -> bool:
            has_turn = await self.queue.turn(prefix or name, is_clean=is_clean)
            if has_turn:
                self.order.append(name)
            return has_turn

        return Deferred.fromCoroutine(login())

    def end_all(self) -> list[str]:
        """Return the order of the logins after `first`."""
        for _ in range(len(self.order) + self.queue.waiting):
            self.queue.done()
        return self.order[1:]

    def test_networks_take_turns(self) -> None:
        """A thousand logins from one network delay those from another by one verification."""
        for name, prefix in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b")):
            _ = self.come(name, prefix)
        self.assertEqual(self.end_all(), ["a1", "b1", "a2", "b2", "a3"])

    def test_a_network_without_failed_logins_comes_first(self) -> None:
        """An attack comes from many networks, and a user's from one more."""
        for name in ("a", "b", "c"):
            _ = self.come(name)
        _ = self.come("good", is_clean=True)
        self.assertEqual(self.end_all(), ["good", "a", "b", "c"])

    def test_as_many_logins_as_slots_have_a_turn(self) -> None:
        self.queue = FairQueue(2, 5)
        for name in ("a", "b"):
            self.successResultOf(self.come(name))
        waiting = self.come("c")
        self.assertNoResult(waiting)
        self.queue.done()
        self.successResultOf(waiting)

    def test_beyond_the_limit_the_last_of_the_last_network_is_refused(self) -> None:
        """A network that fills the queue displaces its own logins, and not those of others."""
        others = [self.come(f"a{number}", "a") for number in range(5)]
        good = self.come("good", is_clean=True)
        self.assertFalse(self.successResultOf(others[-1]))
        self.assertEqual(self.end_all(), ["good", "a0", "a1", "a2", "a3"])
        self.successResultOf(good)

    def test_a_thousand_turns_that_end_at_once_do_not_recurse(self) -> None:
        """All logins of a network that reaches its limit are refused in one go."""
        self.queue = FairQueue(1, 5000)
        self.successResultOf(self.come("first"))
        ended = []

        async def login(number: int) -> None:
            await self.queue.turn("a", is_clean=False)
            ended.append(number)
            self.queue.done()

        logins = [Deferred.fromCoroutine(login(number)) for number in range(5000)]
        self.queue.done()
        self.assertEqual(ended, list(range(5000)))
        for each in logins:
            self.successResultOf(each)
