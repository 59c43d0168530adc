"""What is asked of the store's writers: rows to insert, or a function to call, in a transaction or outside any."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sized
from typing import Any, Final

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from typing_extensions import override

from emailsys.store.schema.rows import BodyRow, MaildropRow, MessageRow, PieceRow, RemoteRow, StagedRow

# Octets of bodies in one commit: a larger one would make the small messages behind it wait (measured: one of 100 MiB
# stalls them for half a second, one of 1 MiB for 19 ms).
BATCH_OCTETS: Final = 1024 * 1024

# A batch for so many shows that many write at once; for so many it is not worth while to wait for more.
_COMPANY: Final = 3
_PLENTY: Final = 64
# Seconds between two looks whether more came, and how often that is looked at.
_STEP: Final = 0.0005
_STEPS: Final = 6


class Job:
    """One thing to commit; `done` fires when it is on disk, with the job's result."""

    __slots__ = ("done", "name", "octets")

    @property
    def company(self) -> int:
        """How many have asked for it."""
        return 1

    def __init__(self, name: str, octets: int = 0) -> None:
        self.name = name
        self.octets = octets
        self.done: Deferred[Any] = Deferred()


class Rows(Job):
    """The rows of one or several messages to insert, by table."""

    __slots__ = ("bodies", "maildrop", "messages", "pieces", "queue", "staged", "unstage")

    def __init__(self, name: str, octets: int) -> None:
        super().__init__(name, octets)
        self.bodies: list[BodyRow] = []
        self.pieces: list[PieceRow] = []
        self.staged: list[StagedRow] = []
        self.messages: list[MessageRow] = []
        self.maildrop: list[MaildropRow] = []
        self.queue: list[RemoteRow] = []
        # The body whose row in `staged` goes, because its message is complete.
        self.unstage: int | None = None


class Call(Job):
    """A function of the transaction's connection. It may be called again after a failed batch.

    One that has a length was gathered for so many.
    """

    __slots__ = ("function",)

    def __init__(self, name: str, function: Callable[[Connection], Any]) -> None:
        super().__init__(name)
        self.function = function

    @property
    @override
    def company(self) -> int:
        return len(self.function) if isinstance(self.function, Sized) else 1


class Upkeep(Call):
    """A function that runs between two batches, outside any transaction, while nobody else writes."""

    __slots__ = ()


class Inbox:
    """The jobs that wait, between the reactor's thread and the writers'."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """@param sleep: lets a writer's thread wait for so many seconds."""
        self._sleep = sleep
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._pieces: deque[Rows] = deque()
        self._closing = False
        self._last = 0

    def put(self, job: Job) -> None:
        """Let a job wait."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()

    def put_piece(self, job: Rows) -> None:
        """Let a piece of a large body wait; pieces are written by the first writer alone, in their order."""
        with self._changed:
            self._pieces.append(job)
            # The first writer must hear of it, whoever else waits.
            self._changed.notify_all()

    def close(self) -> None:
        """What waits is still to be taken; then the writers end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def take(self, pieces: bool, timeout: float | None) -> list[Job] | None:
        """The next batch: what waits, up to the octets of one. [] after `timeout` seconds of rest, None at the end."""
        with self._changed:
            while not self._jobs and not (pieces and self._pieces):
                if self._closing:
                    return None
                if not self._changed.wait(timeout):
                    return []
        self._let_more_come()
        with self._changed:
            batch: list[Job] = []
            octets = 0
            while self._jobs:
                job = self._jobs[0]
                if isinstance(job, Upkeep):
                    if not batch:
                        return [self._jobs.popleft()]
                    break
                if batch and octets + job.octets > BATCH_OCTETS:
                    break
                octets += job.octets
                batch.append(self._jobs.popleft())
            # At least one piece each time, so that small messages do not starve the large.
            first = True
            while pieces and self._pieces and (first or octets + self._pieces[0].octets <= BATCH_OCTETS):
                octets += self._pieces[0].octets
                batch.append(self._pieces.popleft())
                first = False
            self._last = sum(job.company for job in batch)
            return batch

    def _let_more_come(self) -> None:
        """Where the last batch shows that many write at once, wait while more of them arrive, a few milliseconds.

        A commit costs as much for one message as for thirty, and beside a writer at work the reactor's thread, which
        brings the messages, is slower. Who writes alone is not kept waiting.
        """
        if self._last < _COMPANY:
            return
        seen = 0
        for _ in range(_STEPS):
            came = sum(job.company for job in tuple(self._jobs))
            if came <= seen or came >= _PLENTY:
                return
            seen = came
            self._sleep(_STEP)
