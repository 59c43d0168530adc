"""Pieces of a large body are read ahead: one for each session, and no more than the limit for all."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import StoreDamaged
from emailsys.store.body.pieces import AheadLimit, LaterPieces
from emailsys.store.commit.checksum import checksum
from tests.fakes.store.slow_reads import SlowReads

_BODY = 7
_CONTENTS = {1: b"one\r\n", 2: b"two\r\n", 3: b"three\r\n"}


class AheadTests(SynchronousTestCase):
    def setUp(self) -> None:
        rows = {number: (text, False, checksum(_BODY, number, False, text), None) for number, text in _CONTENTS.items()}
        self.database: Any = SlowReads(rows)
        self.octets = sum(map(len, _CONTENTS.values()))

    def reader(self, limit: AheadLimit | None) -> LaterPieces:
        return LaterPieces(self.database, _BODY, 4, self.octets, limit)

    def reading(self, pieces: LaterPieces, number: int) -> Deferred[tuple[bytes, bool]]:
        return Deferred.fromCoroutine(pieces.read(number))

    def test_the_next_piece_is_read_while_the_client_gets_the_last_one(self) -> None:
        pieces = self.reader(AheadLimit(1))
        first = self.reading(pieces, 1)
        self.database.end()
        self.assertEqual(self.successResultOf(first), (b"one\r\n", False))
        self.assertEqual(len(self.database.waiting), 1)
        self.database.end()
        self.assertEqual(self.successResultOf(self.reading(pieces, 2)), (b"two\r\n", False))
        third = self.reading(pieces, 3)
        self.database.end()
        self.assertEqual(self.successResultOf(third), (b"three\r\n", False))
        self.assertEqual(self.database.waiting, [])

    def test_without_a_limit_a_piece_is_read_when_it_is_requested(self) -> None:
        pieces = self.reader(None)
        first = self.reading(pieces, 1)
        self.database.end()
        self.successResultOf(first)
        self.assertEqual(self.database.waiting, [])

    def test_sessions_share_the_limit_and_give_back_what_they_took(self) -> None:
        limit = AheadLimit(1)
        one, two = self.reader(limit), self.reader(limit)
        for pieces in (one, two):
            _first = self.reading(pieces, 1)
            while self.database.waiting:
                self.database.end()
        # The second session reads nothing ahead until the first one ends.
        two_next = self.reading(two, 2)
        self.assertEqual(len(self.database.waiting), 1)
        one.close()
        self.database.end()
        self.assertEqual(self.successResultOf(two_next), (b"two\r\n", False))
        self.assertEqual(len(self.database.waiting), 1)

    def test_a_failed_read_ahead_concerns_a_client_only_when_it_requests_the_piece(self) -> None:
        for request in (False, True):
            pieces = self.reader(AheadLimit(1))
            _first = self.reading(pieces, 1)
            self.database.end()
            self.database.fail(StoreDamaged("a page"))
            if request:
                self.failureResultOf(self.reading(pieces, 2), StoreDamaged)
            pieces.close()
            self.assertEqual(bool(self.database.damage.known), request)

    def test_a_session_that_ends_during_the_read_logs_no_failure(self) -> None:
        pieces = self.reader(AheadLimit(1))
        _first = self.reading(pieces, 1)
        self.database.end()
        pieces.close()
        pieces.close()
        self.database.fail(StoreDamaged("a page"))
        self.assertEqual(dict(self.database.damage.known), {})
