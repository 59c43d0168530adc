"""The batch queue stores batches concurrently, reports them in order, and stops after a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.values import ArchiveFull
from emailsys.client.fetch.batches import BatchQueue, IncomingMessage


class BatchQueueTests(SynchronousTestCase):
    """Tests decide when threads end."""

    def setUp(self) -> None:
        self.begun: list[Callable[[], None]] = []
        self.kept: list[list[int]] = []
        self.full = False
        self.queue = BatchQueue(self.keep, self.tell, self.begun.append)

    def keep(self, batch: Sequence[IncomingMessage]) -> Sequence[str]:
        if self.full:
            raise ArchiveFull("full")
        return [one.uid for one in batch]

    def tell(self, batch: Sequence[IncomingMessage], keys: Sequence[str]) -> None:
        self.kept.append([one.number for one in batch])

    def arrive(self, first: int, last: int) -> None:
        for number in range(first, last):
            self.queue.add(IncomingMessage(number, str(number), [b"x"], 1))

    def end(self, at: int) -> None:
        self.begun.pop(at)()

    def test_a_batch_does_not_wait_for_the_one_before_it_to_be_synced(self) -> None:
        self.arrive(0, 200)
        self.assertEqual(len(self.begun), 2)

    def test_a_few_messages_wait_and_go_together(self) -> None:
        self.arrive(0, 10)
        self.assertEqual(len(self.begun), 1)
        self.end(0)
        self.end(0)
        self.queue.drain()
        self.assertEqual(self.kept, [[0], [*range(1, 10)]])

    def test_batches_are_told_in_the_order_of_the_maildrop(self) -> None:
        self.arrive(0, 51)
        self.end(1)
        self.assertEqual(self.kept, [])
        self.end(0)
        self.assertEqual(self.kept, [[0], [*range(1, 51)]])

    def test_one_batch_that_fails_ends_it_and_the_other_is_kept(self) -> None:
        self.arrive(0, 60)
        self.full = True
        self.end(0)
        self.full = False
        self.end(0)
        self.assertEqual(self.kept, [[*range(1, 51)]])
        self.assertRaises(ArchiveFull, self.queue.drain)
        self.assertRaises(ArchiveFull, self.arrive, 60, 70)
        self.assertEqual(self.begun, [])

    def test_closing_drops_waiting_batches_and_completes_the_current_one(self) -> None:
        go_on = Event()

        def keep(batch: Sequence[IncomingMessage]) -> Sequence[str]:
            go_on.wait(30)
            return [one.uid for one in batch]

        self.queue = BatchQueue(keep, self.tell)
        self.arrive(0, 10)
        with ThreadPoolExecutor(1) as other:
            closing = other.submit(self.queue.close)
            self.assertRaises(TimeoutError, closing.result, 0.05)
            go_on.set()
            closing.result(30)
        self.assertEqual(self.kept, [[0]])

    def test_reading_waits_while_much_is_to_be_kept_and_goes_on_when_it_is(self) -> None:
        """A disk that is slower than the server does not fill the memory."""
        go_on = Event()

        def keep(batch: Sequence[IncomingMessage]) -> Sequence[str]:
            go_on.wait(30)
            return [one.uid for one in batch]

        slow = BatchQueue(keep, self.tell)
        self.addCleanup(slow.close)
        with ThreadPoolExecutor(1) as reader:
            large = IncomingMessage(1, "large", [b""], 20 * 1024 * 1024)
            reading = reader.submit(slow.add, large)
            self.assertRaises(TimeoutError, reading.result, 0.05)
            go_on.set()
            reading.result(30)
        slow.drain()
        self.assertEqual(self.kept, [[1]])
