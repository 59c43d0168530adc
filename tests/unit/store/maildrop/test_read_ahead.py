"""The next messages are read while a client fetches the last ones of the read before."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import StoreDamaged
from emailsys.store.commit.checksum import checksum
from emailsys.store.maildrop.first_piece import FirstPiece
from emailsys.store.maildrop.read_ahead import ReadAhead
from tests.fakes.store.slow_reads import SlowReads

_DELETED = 2


class ReadAheadTests(SynchronousTestCase):
    def begin(self, octets: Sequence[int]) -> ReadAhead:
        """Begin a session with messages of these sizes. Row and message ids are those of the index, plus 100."""
        rows = {}
        for number, size in enumerate(octets, 100):
            text = b"x" * size
            rows[number] = (number, number, b"", 1, False, text, checksum(number, 0, False, text), None)
        self.database = database = SlowReads(rows)
        self.flags = bytearray(len(octets))
        return ReadAhead(cast("Any", database), 1, array("q", rows), array("q", octets), self.flags, _DELETED)

    def reading(self, ahead: ReadAhead, index: int) -> Deferred[FirstPiece]:
        return Deferred.fromCoroutine(ahead.read(index))

    def first(self, ahead: ReadAhead) -> None:
        """Fetch the first message."""
        reading = self.reading(ahead, 0)
        self.database.end()
        self.assertEqual(self.successResultOf(reading).body_id, 100)

    def taken(self, ahead: ReadAhead, index: int) -> bool:
        found = ahead.take(index)
        if found is not None:
            self.assertEqual(found.body_id, 100 + index)
        return found is not None

    def test_the_next_read_begins_before_the_last_message_is_taken(self) -> None:
        ahead = self.begin([4096] * 60)
        self.first(ahead)
        self.assertEqual(self.database.waiting, [])
        for index in range(1, 24):
            self.assertTrue(self.taken(ahead, index))
        self.assertEqual(len(self.database.waiting), 1)
        self.database.end()
        self.assertTrue(all(self.taken(ahead, index) for index in range(24, 48)))

    def test_a_client_that_is_faster_waits_for_the_read_in_progress(self) -> None:
        ahead = self.begin([4096] * 60)
        self.first(ahead)
        for index in range(1, 24):
            ahead.take(index)
        reading = self.reading(ahead, 24)
        self.assertEqual(len(self.database.waiting), 1)
        self.database.end()
        self.assertEqual(self.successResultOf(reading).body_id, 124)
        self.assertTrue(self.taken(ahead, 25))

    def test_a_client_in_another_order_reads_only_what_it_requests(self) -> None:
        ahead = self.begin([4096] * 60)
        self.first(ahead)
        for index in (50, 30):
            reading = self.reading(ahead, index)
            self.database.end()
            self.assertEqual(self.successResultOf(reading).body_id, 100 + index)
            self.assertEqual((self.database.waiting, ahead.ready), ([], {}))

    def test_what_was_being_read_is_dropped_if_the_client_changes_the_order(self) -> None:
        ahead = self.begin([4096] * 60)
        self.first(ahead)
        for index in range(1, 20):
            ahead.take(index)
        reading = self.reading(ahead, 55)
        self.database.end()
        self.assertEqual(list(ahead.ready), [20, 21, 22, 23])
        self.database.end()
        self.assertEqual(self.successResultOf(reading).body_id, 155)

    def test_memory_is_bounded_by_the_size_of_the_messages(self) -> None:
        ahead = self.begin([40_000, 40_000, 40_000, 10_000_000, 40_000])
        self.first(ahead)
        # The read in progress begins behind what is there, and leaves out the large message.
        self.assertEqual(list(ahead.ready), [1])
        self.database.end()
        self.assertEqual(list(ahead.ready), [1, 2])
        self.assertTrue(self.taken(ahead, 1) and self.taken(ahead, 2))
        self.assertEqual(self.database.waiting, [])

    def test_messages_of_medium_size_do_not_add_up(self) -> None:
        """A read returns two of them while the client takes one."""
        ahead = self.begin([40_000] * 40)
        self.first(ahead)
        for index in range(1, 40):
            while self.database.waiting:
                self.database.end()
            self.assertLessEqual(len(ahead.ready), 3)
            self.assertTrue(self.taken(ahead, index))

    def test_a_client_that_waits_goes_on_after_a_fault(self) -> None:
        """Such as a row that nobody asked for, from a database that is damaged."""
        ahead = self.begin([4096] * 60)
        self.first(ahead)
        for index in range(1, 24):
            ahead.take(index)
        reading = self.reading(ahead, 24)
        rows = self.database.engine.rows
        intact, rows[130] = rows[130], (999, 130, b"", 1, False, b"", b"", None)
        self.database.end()
        rows[130] = intact
        self.database.end()
        self.assertEqual(self.successResultOf(reading).body_id, 124)

    def test_deleted_messages_are_left_out(self) -> None:
        ahead = self.begin([4096] * 60)
        self.first(ahead)
        self.flags[30] = _DELETED
        for index in range(1, 24):
            ahead.take(index)
        self.database.end()
        self.assertFalse(self.taken(ahead, 30))
        self.assertTrue(self.taken(ahead, 31))

    def test_after_an_unreadable_page_each_message_is_read_by_itself(self) -> None:
        ahead = self.begin([4096] * 60)
        self.first(ahead)
        for index in range(1, 24):
            ahead.take(index)
        reading = self.reading(ahead, 24)
        self.database.fail(StoreDamaged("a page"))
        self.database.end()
        self.assertEqual(self.successResultOf(reading).body_id, 124)
        self.assertEqual((self.database.waiting, ahead.ready), ([], {}))

    def test_a_session_that_ends_keeps_nothing(self) -> None:
        ahead = self.begin([4096] * 60)
        self.first(ahead)
        for index in range(1, 20):
            ahead.take(index)
        ahead.close()
        self.database.end()
        self.assertEqual(ahead.ready, {})
