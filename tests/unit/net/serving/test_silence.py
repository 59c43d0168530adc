"""The time limit for silence: noted by each command, scheduled again when the call comes too early."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.silence import SilenceLimit


class Peer(SilenceLimit):
    """Notes when the limit was reached."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ended_at: list[float] = []

    def silence_ended(self) -> None:
        self.ended_at.append(self.clock.seconds())


class SilenceTests(SynchronousTestCase):
    def ended(self, *steps: tuple[float, float | None]) -> list[float]:
        """Each step: seconds to wait, then the new limit of a command that ends there (0 for the same limit)."""
        clock = Clock()
        peer = Peer(clock)
        peer.setTimeout(300.0)
        for seconds, limit in steps:
            clock.advance(seconds)
            if limit is None:
                peer.setTimeout(None)
            else:
                if limit:
                    peer.allow_silence(limit)
                peer.resetTimeout()
        clock.pump([0.1] * 20_000)
        return [round(at, 3) for at in peer.ended_at]

    def test_the_limit_runs_from_the_last_command(self) -> None:
        for steps, expected in (
            ((), [300.0]),
            (((100.0, 0),), [400.0]),
            # Longer, shorter, and in turns as a session with several messages does.
            (((100.0, 600.0),), [700.0]),
            (((100.0, 60.0),), [160.0]),
            (((100.0, 60.0), (10.0, 600.0)), [710.0]),
            (((250.0, 600.0), (250.0, 300.0), (250.0, 600.0), (250.0, 300.0)), [1300.0]),
            (((100.0, None),), []),
            (((0.1 + 0.2, 0.7),), [1.0]),
        ):
            ended = self.ended(*steps)
            self.assertEqual(len(ended), len(expected), steps)
            for at, wanted in zip(ended, expected, strict=True):
                self.assertTrue(wanted - 0.01 <= at < wanted + 0.2, (steps, ended))

    def test_commands_do_not_move_the_call(self) -> None:
        clock = Clock()
        peer = Peer(clock)
        peer.setTimeout(300.0)
        (call,) = clock.getDelayedCalls()
        for _ in range(100):
            clock.advance(1.0)
            peer.allow_silence(600.0)
            peer.resetTimeout()
            peer.allow_silence(300.0)
            peer.resetTimeout()
        self.assertEqual(([call], 300.0), (clock.getDelayedCalls(), call.getTime()))

    def test_silence_is_told(self) -> None:
        clock = Clock()
        peer = Peer(clock)
        peer.setTimeout(300.0)
        clock.advance(5.0)
        self.assertEqual(peer.silent_for, 5.0)
        peer.resetTimeout()
        clock.advance(2.0)
        self.assertEqual(peer.silent_for, 2.0)
        peer.setTimeout(None)
        self.assertEqual(peer.silent_for, 0.0)
