"""The end of sessions when another process serves already: a session whose client has just spoken goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from emailsys.daemon.session_endings import Drainable, SessionEndings

# Seconds that a turn of the reactor takes at least.
_TURN: Final = 1e-6


class Session:
    """A session and its connection: it is silent from its last command on."""

    closing = False
    in_body = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.heard_at = clock.seconds()
        self.connection = self
        self.is_aborted = False

    @property
    def silent_for(self) -> float:
        return self._clock.seconds() - self.heard_at

    def speak(self) -> None:
        self.heard_at = self._clock.seconds()

    def abort(self) -> None:
        self.is_aborted = True


class Server:
    """Sessions that end at once, except those that receive a message."""

    def __init__(self, *sessions: Session) -> None:
        self.sessions = set(sessions)

    def drain(self) -> int:
        self.sessions = {session for session in self.sessions if session.in_body}
        return len(self.sessions)

    def interrupt(self) -> int:
        return len(self.sessions)


class StalledClock(Clock):
    """A process that gets no CPU at certain times: what arrives meanwhile is read after the timers, as by a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.unread: list[Callable[[], None]] = []

    @override
    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> Any:
        # A reactor reads once more before it runs a call that a timer has made.
        return super().callLater(max(delay, _TURN), callable, *args, **kw)

    def turn(self, seconds: float) -> None:
        """Let time pass, run the timers that are due, and only then read."""
        self.advance(seconds)
        unread, self.unread = self.unread, []
        for read in unread:
            read()


class SuccessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = StalledClock()
        self.one, self.other = Session(self.clock), Session(self.clock)
        self.server = Server(self.one, self.other)

    def end(self) -> Deferred[int]:
        factories: dict[str, Drainable] = {"smtp": self.server}
        return Deferred.fromCoroutine(SessionEndings(self.clock, factories).end(10.0, is_succeeded=True))

    def turns(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    def test_nobody_is_interrupted_while_a_client_speaks(self) -> None:
        _ = self.end()
        for _ in range(5):
            self.turns(1.5)
            self.one.speak()
        self.assertEqual(self.server.sessions, {self.one, self.other})
        self.turns(2.5)
        self.assertEqual(self.server.sessions, set())

    def test_silence_while_the_other_process_started_does_not_count(self) -> None:
        self.turns(30.0)
        _ = self.end()
        self.turns(1.5)
        self.assertEqual(self.server.sessions, {self.one, self.other})
        self.turns(1.0)
        self.assertEqual(self.server.sessions, set())

    def test_a_client_that_spoke_while_this_process_stood_still_goes_on(self) -> None:
        """Its command waits in the kernel. Silence is judged after that was read."""
        _ = self.end()
        self.turns(0.2)
        self.clock.unread.append(self.one.speak)
        self.clock.turn(3.0)
        self.clock.turn(_TURN)
        self.assertEqual(self.server.sessions, {self.one, self.other})

    def test_a_client_whose_message_ends_may_go_on(self) -> None:
        """It was silent for a moment within the message. With its next command it must not hear 421 at once."""
        self.one.in_body = True
        ended = self.end()
        self.turns(4.0)
        self.assertEqual(self.server.sessions, {self.one})
        self.one.in_body = False
        self.one.speak()
        self.turns(1.5)
        self.assertEqual(self.server.sessions, {self.one})
        self.turns(1.0)
        self.assertEqual((self.server.sessions, self.successResultOf(ended)), (set(), 0))

    def test_a_client_that_is_silent_within_a_message_is_interrupted_after_ten_seconds(self) -> None:
        """Not by its silence while the other process started."""
        self.one.in_body = True
        self.turns(30.0)
        ended = self.end()
        self.turns(9.9)
        self.assertNoResult(ended)
        # The last two are for reading the 421.
        self.turns(2.2)
        self.assertEqual((self.successResultOf(ended), self.one.is_aborted), (1, True))
