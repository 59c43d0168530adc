"""Messages before the disk: batches side by side, told in the order of the maildrop, and none after a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.values import ArchiveFull
from emailsys.client.intake import Arriving, Intake


class IntakeTests(SynchronousTestCase):
    """Threads end when a test says so."""

    def setUp(self) -> None:
        self.running: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.kept: list[list[int]] = []
        self.failures: list[Failure] = []
        self.intake = Intake(self.in_thread, self.keep, self.tell, self.failures.append, lambda: None, lambda: None)

    def in_thread(self, function: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.running.append((function, done))
        return done

    def keep(self, batch: Sequence[Arriving]) -> Sequence[str]:
        return [one.uid for one in batch]

    def tell(self, batch: Sequence[Arriving], keys: Sequence[str]) -> None:
        self.kept.append([one.number for one in batch])

    def arrive(self, first: int, last: int) -> None:
        for number in range(first, last):
            self.intake.add(Arriving(number, str(number), [b"x"], 1))

    def end(self, at: int) -> None:
        function, done = self.running.pop(at)
        done.callback(function())

    def test_a_batch_does_not_wait_for_the_one_before_it_to_be_synced(self) -> None:
        self.arrive(0, 200)
        self.assertEqual(len(self.running), 2)

    def test_a_few_messages_wait_and_go_together(self) -> None:
        self.arrive(0, 10)
        self.assertEqual(len(self.running), 1)
        self.end(0)
        self.end(0)
        self.assertEqual(self.kept, [[0], [*range(1, 10)]])

    def test_batches_are_told_in_the_order_of_the_maildrop(self) -> None:
        self.arrive(0, 51)
        self.end(1)
        self.assertEqual(self.kept, [])
        self.end(0)
        self.assertEqual(self.kept, [[0], [*range(1, 51)]])

    def test_one_batch_that_fails_ends_it_and_the_other_is_kept(self) -> None:
        self.arrive(0, 60)
        drained = Deferred.fromCoroutine(self.intake.drained())
        self.running.pop(0)[1].errback(ArchiveFull("full"))
        self.assertNoResult(drained)
        self.end(0)
        self.successResultOf(drained)
        self.assertEqual(self.kept, [[*range(1, 51)]])
        self.assertEqual(len(self.failures), 1)
        self.arrive(60, 70)
        self.assertEqual(self.running, [])
