"""Eviction: ends sessions of silent clients before new connections are refused, when most connections are in use."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorTime

from emailsys.net.serving.admission import Admission, ConnectionLimit
from emailsys.net.serving.connection import Connection

# Seconds that a client may be silent under pressure. RFC 5321 §4.5.3.2.7 gives it five minutes otherwise.
PATIENCE: Final = 10.0
# Seconds between two looks for silent clients. A look at 5,000 sessions takes some milliseconds.
LOOK_EVERY: Final = 1.0
# The part of the sessions that one look at a full pool ends at most, so that not every new connection needs a look.
_ENDED_AT_ONCE: Final = 50


class Session(Protocol):
    """A session that can be ended to make room for others."""

    connection: Connection[Any]

    @property
    def is_expendable(self) -> bool:
        """Whether the client has not logged in, and the server waits for it."""

    def evict(self) -> None:
        """End the session with a reply. It does not count as a connection any more."""


class Eviction:
    """Admits connections to one pool, and ends silent sessions under pressure."""

    def __init__(self, clock: IReactorTime, sessions: Collection[Session], least_silence: float) -> None:
        """
        @param sessions: the sessions of the pool.
        @param least_silence: seconds that a client was silent at least if it is disconnected in favour of another.
        """
        self._clock = clock
        self._sessions = sessions
        self._least_silence = least_silence
        self._next_look = 0.0

    def refusal(self, admission: Admission, ip: str) -> ConnectionLimit | None:
        """Returns why another connection from an address is refused, None if it is admitted; makes room for it."""
        if admission.is_under_pressure and self._clock.seconds() >= self._next_look:
            self._next_look = self._clock.seconds() + LOOK_EVERY
            self.relieve(is_full=False)
        refusal = admission.refusal(ip)
        if refusal is ConnectionLimit.TOTAL:
            self.relieve(is_full=True)
            refusal = admission.refusal(ip)
        return refusal

    def relieve(self, is_full: bool) -> None:
        """End silent sessions: under pressure all that have been silent for long, in a full pool the most silent."""
        if is_full:
            self._end_silent(self._least_silence, 1 + len(self._sessions) // _ENDED_AT_ONCE)
        else:
            self._end_silent(PATIENCE, len(self._sessions))

    def _end_silent(self, seconds: float, most: int) -> None:
        """End the sessions that have been silent the longest, and at least that long."""
        silent = [(session.connection.silent_for, session) for session in self._sessions if session.is_expendable]
        silent.sort(key=lambda each: each[0], reverse=True)
        for silence, session in silent[:most]:
            if silence < seconds:
                return
            session.evict()
