"""Time limits of an outbound connection: one for each step of the session (RFC 5321 §4.5.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime

from emailsys.config.settings import OutboundSettings, OutboundTimeouts
from emailsys.net.outbound.deadline import Deadline
from emailsys.net.outbound.state import HANDSHAKE, IDLE, OVER, TIMED, State
from emailsys.wire.smtp.client import SMTPClientSession
from emailsys.wire.smtp.client_events import Step

# Seconds that an idle connection is kept when nothing more waits for its next hop.
_SHORT_IDLE_TIME: Final = 2.0


def limits(timeouts: OutboundTimeouts) -> Mapping[Step, float]:
    """Return the time limit of each step in seconds."""
    of_their_own = {
        Step.GREETING: timeouts.greeting,
        Step.HANDSHAKE: timeouts.handshake,
        Step.DATA: timeouts.data,
        Step.BODY: timeouts.block,
        Step.CHUNK: timeouts.block,
        Step.FINAL: timeouts.final,
        Step.QUIT: timeouts.quit,
    }
    return {step: of_their_own.get(step, timeouts.command) for step in Step}


class ClientDeadline:
    """Calls `missed` when the host exceeds the time limit of a step. An incomplete reply does not extend it."""

    def __init__(self, clock: IReactorTime, settings: OutboundSettings, missed: Callable[[], None]) -> None:
        self._idle_timeout = settings.idle_timeout
        self._deadline = Deadline(clock, missed)
        #: Seconds for each step.
        self.limits = limits(settings.timeouts)
        self._awaited: tuple[object, ...] | None = None

    def arm(self, state: State, session: SMTPClientSession) -> None:
        """Set the deadline for the current step, unless it is already set."""
        awaited = (state if state in TIMED else None, session.step, session.progress)
        if awaited == self._awaited:
            return
        self._awaited = awaited
        step = Step.HANDSHAKE if state is HANDSHAKE else session.step
        if step is not None:
            self._deadline.set(self.limits[step])
        elif state is OVER:
            self._deadline.set(self.limits[Step.QUIT])
        elif state is IDLE:
            self._deadline.set(self._idle_timeout)
        else:
            self._deadline.pause()

    def read_on(self) -> None:
        """The host reads again: the time for the next block begins with the next `arm`."""
        self._awaited = None

    def shorten_idle_time(self) -> None:
        """Limit the remaining idle time to a moment."""
        self._deadline.set(min(_SHORT_IDLE_TIME, self._idle_timeout))

    def clear(self) -> None:
        """Cancel the deadline for good."""
        self._deadline.clear()
