"""What is put off to the end of a turn is done there, all of it."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.turn_end import Turn
from emailsys.telemetry import Telemetry


class TurnTests(SynchronousTestCase):
    """Connections speak at the end of a turn, in the order in which they were served."""

    def setUp(self) -> None:
        self.clock: Clock = Clock()
        self.telemetry = Telemetry()
        self.turn = Turn(self.clock, self.telemetry)
        self.said: list[str] = []

    def say(self, words: str) -> None:
        self.turn.at_end(lambda: self.said.append(words))

    def test_those_who_were_served_together_speak_together(self) -> None:
        self.say("250 sender")
        self.say("250 recipient")
        self.assertEqual(self.said, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.said, ["250 sender", "250 recipient"])

    def test_what_is_asked_for_at_the_end_has_an_end_of_its_own(self) -> None:
        self.turn.at_end(lambda: self.say("later"))
        self.clock.advance(0)
        self.assertEqual(self.said, ["later"])

    def test_one_that_fails_does_not_silence_the_others(self) -> None:
        def fail() -> None:
            raise ValueError("mine alone")

        self.turn.at_end(fail)
        self.say("250")
        self.clock.advance(0)
        self.assertEqual(self.said, ["250"])
        self.assertEqual(self.telemetry.counters["surprise"], 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
