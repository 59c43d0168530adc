"""Jobs for the writer threads, and the inbox from which they take batches."""

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

# Octets of bodies in one commit. A larger commit delays the small messages behind it (measured: 100 MiB delay them for
# half a second, 1 MiB for 19 ms).
BATCH_OCTETS: Final = 1024 * 1024
# Octets of pieces and large messages together in a commit that also has small messages, which wait for it.
_OCTETS_BESIDE_SMALL: Final = 256 * 1024
# Octets from which a message is large: writing it takes longer than the rest of a commit.
_LARGE_OCTETS: Final = 64 * 1024

# If the small jobs of the last batch had this many callers, many clients write at once, and a short wait makes the next
# batch larger. With the second number of callers, waiting for more is not worth while.
_MANY_CALLERS: Final = 3
_ENOUGH_CALLERS: Final = 64
# Seconds between two checks of whether more jobs arrived, and the number of checks.
_WAIT_STEP: Final = 0.0005
_WAIT_STEPS: Final = 6


class Job:
    """One unit of work for a writer. `done` fires with its result when the commit is on disk."""

    __slots__ = ("done", "is_settled", "name", "octets")

    @property
    def caller_count(self) -> int:
        """The number of callers that wait for the job."""
        return 1

    def __init__(self, name: str, octets: int = 0) -> None:
        self.name = name
        self.octets = octets
        self.done: Deferred[Any] = Deferred()
        # Whether its outcome has reached the reactor thread. `done` may have been cancelled before.
        self.is_settled = False


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
        # The body to delete from `staged` because its message is complete.
        self.unstage: int | None = None


class Call(Job):
    """A function to call with the transaction's connection. It may be called again after a failed batch.

    If the function has a length, that is its number of callers (see `batching.Batch`).
    """

    __slots__ = ("function",)

    def __init__(self, name: str, function: Callable[[Connection], Any]) -> None:
        super().__init__(name)
        self.function = function

    @property
    @override
    def caller_count(self) -> int:
        return len(self.function) if isinstance(self.function, Sized) else 1


class Upkeep(Call):
    """A function to call between two batches, outside any transaction, while no other thread or process writes."""

    __slots__ = ()


class Inbox:
    """Queue of jobs between the reactor thread and the writer threads."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """@param sleep: blocks a writer thread for a number of seconds."""
        self._sleep = sleep
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._large: deque[Job] = deque()
        self._pieces: deque[Rows] = deque()
        # Large messages and pieces take turns, across batches too.
        self._piece_is_next = False
        self._closing = False
        self._last = 0

    def put(self, job: Job) -> None:
        """Add a job. Large messages are taken after the small ones that wait."""
        with self._changed:
            (self._jobs if job.octets < _LARGE_OCTETS else self._large).append(job)
            self._changed.notify()

    def put_piece(self, job: Rows) -> None:
        """Add a piece of a large body. Only the first writer takes pieces, in their order."""
        with self._changed:
            self._pieces.append(job)
            # `notify` could wake another writer, which takes no pieces.
            self._changed.notify_all()

    def close(self) -> None:
        """Close the inbox. Writers take the jobs that are left, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def take_all(self) -> list[Job]:
        """Take every waiting job at once, to refuse it."""
        with self._changed:
            jobs = [*self._jobs, *self._large, *self._pieces]
            self._jobs.clear()
            self._large.clear()
            self._pieces.clear()
            return jobs

    def take(self, pieces: bool, timeout: float | None) -> list[Job] | None:
        """Wait for the next batch: small jobs first, then large messages and pieces in turn, up to a limit.

        @param pieces: whether to take pieces of large bodies, too.
        @param timeout: seconds, or None to wait without limit.
        @return: an empty list after the timeout, None if the inbox is closed and empty.
        """
        with self._changed:
            while not self._jobs and not self._large and not (pieces and self._pieces):
                if self._closing:
                    return None
                if not self._changed.wait(timeout):
                    return []
        self._wait_for_more()
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
            self._last = sum(job.caller_count for job in batch)
            # A call, such as a lease, is no client's message, so it does not lower the limit.
            limit = _OCTETS_BESIDE_SMALL if any(isinstance(job, Rows) for job in batch) else BATCH_OCTETS
            return batch + self._take_large(limit, pieces)

    def _take_large(self, limit: int, pieces: bool) -> list[Job]:
        """Take large messages and pieces in turn, up to the limit, but at least one if any waits.

        Small messages therefore never starve the large ones, nor pieces the large messages.
        """
        taken: list[Job] = []
        octets = 0
        while waiting := self._next_large(pieces):
            job = waiting[0]
            if taken and octets + job.octets > limit:
                break
            octets += job.octets
            taken.append(waiting.popleft())
            self._piece_is_next = waiting is self._large
        return taken

    def _next_large(self, pieces: bool) -> deque[Job] | deque[Rows] | None:
        """Return the queue to take the next large job from; None if none waits."""
        if pieces and self._pieces and (self._piece_is_next or not self._large):
            return self._pieces
        return self._large or None

    def _wait_for_more(self) -> None:
        """If the last batch had many callers, wait up to a few milliseconds while more jobs arrive.

        A commit costs as much for one message as for thirty, and a working writer slows down the reactor thread, which
        brings the messages. A single client never waits.
        """
        if self._last < _MANY_CALLERS:
            return
        seen = 0
        for _ in range(_WAIT_STEPS):
            waiting = sum(job.caller_count for job in tuple(self._jobs))
            if waiting <= seen or waiting >= _ENOUGH_CALLERS:
                return
            seen = waiting
            self._sleep(_WAIT_STEP)
