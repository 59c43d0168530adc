"""Password hashing that counts, and that a test can hold up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred

from emailsys.interfaces import LoginBusy
from emailsys.passwords import verify_password


class CountedHashing:
    """Verifies at once, on this thread; remembers what was asked; `hold` makes answers wait for `release_held`.

    What it hashes waits for the test to fire it, in `hashed`.
    """

    def __init__(self, verify: Callable[[str, str], bool] = verify_password) -> None:
        self._verify = verify
        self.hashed: list[tuple[str, Deferred[Sequence[tuple[str, str]]]]] = []
        self.asked: list[str | None] = []
        self.cancelled = 0
        self.hold = False
        self.is_full = False
        self._held: list[tuple[Deferred[bool], str | None, str]] = []

    def verify(self, stored: str | None, password: str) -> Deferred[bool]:
        """As HashingThreads does."""
        answer: Deferred[bool] = Deferred(self._cancel)
        if self.is_full:
            answer.errback(LoginBusy())
            return answer
        self.asked.append(stored)
        self._held.append((answer, stored, password))
        if not self.hold:
            self.release_held()
        return answer

    def make(self, password: str) -> Deferred[Sequence[tuple[str, str]]]:
        """As HashingThreads does."""
        answer: Deferred[Sequence[tuple[str, str]]] = Deferred()
        self.hashed.append((password, answer))
        return answer

    def _cancel(self, answer: Deferred[bool]) -> None:
        self.cancelled += 1
        self._held = [each for each in self._held if each[0] is not answer]

    def release_held(self) -> None:
        """Answer all that wait."""
        held, self._held = self._held, []
        for answer, stored, password in held:
            answer.callback(stored is not None and self._verify(stored, password))
