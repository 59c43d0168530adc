"""Long answers are made and sent in slices."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.long_answers import ROWS_AT_ONCE, encoded, in_slices, send

SIZES = (0, 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE)


class LongAnswersTests(SynchronousTestCase):
    def test_between_slices_of_rows_the_reactor_serves_others(self) -> None:
        for size in SIZES:
            turns: list[Deferred[None]] = []

            def turn(turns: list[Deferred[None]] = turns) -> Deferred[None]:
                turns.append(Deferred())
                return turns[-1]

            making = Deferred.fromCoroutine(in_slices(range(size), str, turn))
            count = 0
            while count < len(turns):
                self.assertNoResult(making)
                turns[count].callback(None)
                count += 1
            self.assertEqual(self.successResultOf(making), list(map(str, range(size))))
            self.assertEqual(count, max(0, -(-size // ROWS_AT_ONCE) - 1))
        self.assertEqual(len(self.successResultOf(Deferred.fromCoroutine(in_slices(range(2000), str, None)))), 2000)

    def test_the_parts_are_the_same_json(self) -> None:
        for size in SIZES:
            rows = [{"address": f"\u00fc{number}@x", "quota": None} for number in range(size)]
            for answer in (
                {"result": rows, "store": "x"},
                {"result": {"domains": [], "accounts": rows, "aliases": rows[:1], "none": {}}},
                {"result": {"deep": {"deeper": rows}}},
            ):
                text = json.dumps(answer, separators=(",", ":")).encode() + b"\n"
                self.assertEqual(b"".join(encoded(json.loads(text))), text)

    def answer(self) -> dict[str, Any]:
        return {"result": [str(number) for number in range(5 * ROWS_AT_ONCE)]}

    def test_a_long_answer_is_sent_as_fast_as_it_is_read(self) -> None:
        transport = StringTransport()
        sending = Deferred.fromCoroutine(send(transport, self.answer()))
        sizes = []
        while transport.producer is not None:
            self.assertNoResult(sending)
            sizes.append(len(transport.value()))
            transport.producer.resumeProducing()
        self.assertIsNone(self.successResultOf(sending))
        self.assertEqual(json.loads(transport.value()), self.answer())
        self.assertEqual(len(set(sizes)), 7, "nothing, five slices, and the end")

    def test_a_peer_that_goes_away_ends_the_answer(self) -> None:
        transport = StringTransport()
        sending = Deferred.fromCoroutine(send(transport, self.answer()))
        assert transport.producer is not None
        transport.producer.resumeProducing()
        transport.producer.stopProducing()
        self.assertIsNone(self.successResultOf(sending))

    def test_a_short_answer_is_sent_at_once(self) -> None:
        transport = StringTransport()
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(send(transport, {"result": None}))))
        self.assertEqual(transport.value(), b'{"result":null}\n')
