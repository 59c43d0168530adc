"""Calls registered for the end of a turn are made there, all of them."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.turn_end import TurnEnd
from emailsys.telemetry import Telemetry


class TurnTests(SynchronousTestCase):
    """Connections write at the end of a turn, in the order in which they were served."""

    def setUp(self) -> None:
        self.clock: Clock = Clock()
        self.telemetry = Telemetry()
        self.turn = TurnEnd(self.clock, self.telemetry)
        self.said: list[str] = []

    def say(self, words: str) -> None:
        self.turn.at_end(lambda: self.said.append(words))

    def test_connections_served_in_one_turn_write_together(self) -> None:
        self.say("250 sender")
        self.say("250 recipient")
        self.assertEqual(self.said, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.said, ["250 sender", "250 recipient"])

    def test_a_call_registered_at_the_end_is_made_at_the_next_end(self) -> None:
        self.turn.at_end(lambda: self.say("later"))
        self.clock.advance(0)
        self.assertEqual(self.said, ["later"])

    def test_a_call_that_fails_does_not_stop_the_others(self) -> None:
        def fail() -> None:
            raise ValueError("mine alone")

        self.turn.at_end(fail)
        self.say("250")
        self.clock.advance(0)
        self.assertEqual(self.said, ["250"])
        self.assertEqual(self.telemetry.counters["exception"], 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
