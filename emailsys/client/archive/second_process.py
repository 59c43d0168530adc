"""A second process that keeps messages in the local store beside the first one, on another processor."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from emailsys.client.archive.archive import Archive
    from emailsys.client.archive.values import Addition


def start(root: Path, now: Callable[[], datetime]) -> SecondProcess | None:
    """Split the second process off; None where there is no fork, no second processor, or a thread that it would lack.

    Call it before the large imports: what is not there yet need not be copied, and both import at the same time.

    @param root: of the store, and `now` of its clock, as Archive has them.
    """
    if sys.platform in ("win32", "darwin") or (os.cpu_count() or 1) < 2 or threading.active_count() > 1:
        # macOS has libraries that do not survive a fork.
        return None
    asked, requests = os.pipe()
    answers, answered = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(requests)
            os.close(answers)
            _live(root, now, asked, answered)
        finally:
            # Nothing of what the first process wants done at its end is ours.
            os._exit(0)
    os.close(asked)
    os.close(answered)
    return SecondProcess(process, open(requests, "wb"), open(answers, "rb"))


def _live(root: Path, now: Callable[[], datetime], asked: int, answered: int) -> None:
    # Ctrl-C reaches both; the first one says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    from emailsys.client.archive.archive import Archive

    with open(asked, "rb") as requests, open(answered, "wb") as answers:
        serve(lambda: Archive(root, now), requests, answers)


def serve(opened: Callable[[], Archive], asked: BinaryIO, answered: BinaryIO) -> None:
    """Keep batches until nobody asks any more: the first process has ended, however that came.

    A request is a line of JSON, a list of [account, folder, source, octets], and behind it the messages. The answer is
    a line of JSON: their keys when all is on disk, or null.

    @param opened: gives the store, which is opened when the first batch has come.
    """
    archive: Archive | None = None
    while (additions := _batch(asked)) is not None:
        archive = archive or opened()
        answered.write(json.dumps(_keep(archive, additions)).encode() + b"\n")
        answered.flush()
    if archive is not None:
        archive.close()


def _batch(asked: BinaryIO) -> Sequence[Addition] | None:
    """What is to be kept next; None at the end, be it in the middle of a batch."""
    from emailsys.client.archive.values import Addition, Place

    head = asked.readline()
    if not head.endswith(b"\n"):
        return None
    additions = []
    for account, folder, source, octets in json.loads(head):
        message = asked.read(octets)
        if len(message) < octets:
            return None
        additions.append(Addition(message, Place(account, folder), source))
    return additions


def _keep(archive: Archive, additions: Sequence[Addition]) -> Sequence[str] | None:
    from emailsys.client.archive.values import ArchiveError

    try:
        return archive.add_many(additions)
    except ArchiveError:
        # The first process tries the same, and hears why it cannot be done.
        return None


def _request(additions: Sequence[Addition]) -> Iterator[bytes]:
    head = [(one.place.account, one.place.folder, one.source, len(one.octets)) for one in additions]
    yield json.dumps(head).encode() + b"\n"
    for one in additions:
        yield one.octets


class SecondProcess:
    """The first process's view of the second. Its methods may be called from any thread."""

    def __init__(self, process: int, requests: BinaryIO, answers: BinaryIO) -> None:
        self._process = process
        self._requests = requests
        self._answers = answers
        self._free = threading.Lock()
        self._gone = False

    def add_many(self, additions: Sequence[Addition]) -> list[str] | None:
        """As `Archive.add_many`, for messages with a source and nothing else: their keys, once all is on disk.

        None where it is busy, has died, or could not. What it had kept by then has the same source when it is kept
        again, and is there once.
        """
        if not self._free.acquire(blocking=False):
            return None
        try:
            if self._gone:
                return None
            self._requests.writelines(_request(additions))
            self._requests.flush()
            keys: list[str] | None = json.loads(self._answers.readline())
            return keys
        except (OSError, ValueError):
            self._gone = True
            return None
        finally:
            self._free.release()

    def close(self) -> None:
        """Let it end when it has kept what it has, and wait for that. May be called twice."""
        with self._free:
            process, self._process, self._gone = self._process, 0, True
            with suppress(OSError):
                self._requests.close()
            self._answers.close()
            if process:
                os.waitpid(process, 0)
