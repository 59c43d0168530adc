"""A second process that keeps messages in the local store beside the first one, on another processor."""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from emailsys.client.archive.archive import Archive
    from emailsys.client.archive.behind import Behind
    from emailsys.client.archive.keeping import Waiting
    from emailsys.client.archive.values import Addition

# Octets that a pipe holds: as many as Linux gives without asking for more rights.
_PIPE: Final = 1024 * 1024
# What is asked: to keep what follows, or to name what is on disk.
_OCTETS: Final = "octets"
_NAME: Final = "name"
# Seconds without a request after which there is time for the index. Between two batches of a fetch it is less.
_IDLE: Final = 0.05


def start(root: Path, now: Callable[[], datetime]) -> SecondProcess | None:
    """Split the second process off; None where there is no fork, no second processor, or a thread that it would lack.

    Call it before the large imports: what is not there yet need not be copied, and both import at the same time.

    @param root: of the store, and `now` of its clock, as Archive has them.
    """
    if sys.platform in ("win32", "darwin") or (os.cpu_count() or 1) < 2 or threading.active_count() > 1:
        # macOS has libraries that do not survive a fork.
        return None
    root = root.absolute()
    asked, requests = os.pipe()
    answers, answered = os.pipe()
    _widen(requests)
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
    return SecondProcess(process, open(requests, "wb", buffering=0), open(answers, "rb"))


def _widen(pipe: int) -> None:
    """Let a batch fit into a pipe, so that the first process need not write it piece by piece."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


def _live(root: Path, now: Callable[[], datetime], asked: int, answered: int) -> None:
    # A session of its own: neither Ctrl-C nor the end of the terminal is meant for it; it ends when nobody asks.
    os.setsid()
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    from emailsys.client.archive.archive import Archive

    def is_asked(seconds: float) -> bool:
        return bool(select.select([asked], [], [], seconds)[0])

    with open(asked, "rb", _PIPE) as requests, open(answered, "wb", 0) as answers:
        serve(lambda: Archive(root, now), requests, answers, is_asked)


def serve(
    opened: Callable[[], Archive], asked: BinaryIO, answered: BinaryIO, is_asked: Callable[[float], bool]
) -> None:
    """Keep batches until nobody asks any more: the first process has ended, however that came.

    A request is a line of JSON and what it announces: ["octets", [[account, folder, source, octets], ...]] and behind
    it the messages, or ["name", [[account, folder, key, name, octets, path], ...]], where the messages are on disk
    already. The answer is a line of JSON: their keys when they are on disk under their names, or null. The next request
    follows the answer; where none comes for a while, and at the end, what was named is entered into the index.

    @param answered: without a buffer.
    @param opened: gives the store, which is opened when the first batch has come.
    @param is_asked: waits so many seconds for a request, or for the end of them.
    """
    with ExitStack() as open_until_the_end:
        behind: Behind | None = None
        while True:
            if behind is not None and behind.is_holding and (behind.is_due or not is_asked(_IDLE)):
                behind.enter()
            keep = _request(asked)
            if keep is None:
                break
            if behind is None:
                archive = opened()
                open_until_the_end.callback(archive.close)
                behind = archive.behind(time.monotonic)
            with suppress(OSError):
                # Where nobody hears it any more there is nothing more to be read either.
                answered.write(json.dumps(_kept(behind, keep)).encode() + b"\n")
        if behind is not None and behind.is_holding:
            behind.enter()


def _kept(behind: Behind, keep: Callable[[Behind], list[str]]) -> list[str] | None:
    from emailsys.client.archive.values import ArchiveError

    try:
        return keep(behind)
    except ArchiveError:
        # The first process tries the same, and hears why it cannot be done.
        return None


def _request(asked: BinaryIO) -> Callable[[Behind], list[str]] | None:
    """What is to be done next; None at the end, be it in the middle of a batch."""
    head = asked.readline()
    if not head.endswith(b"\n"):
        return None
    verb, rows = json.loads(head)
    if verb == _NAME:
        named = [_waiting(*row) for row in rows]
        return lambda behind: behind.name(named)
    additions = _additions(rows, asked)
    return None if additions is None else lambda behind: behind.add_many(additions)


def _waiting(account: str, folder: str, key: str, name: str, octets: int, path: str) -> Waiting:
    from emailsys.client.archive.files import Spool
    from emailsys.client.archive.keeping import Waiting
    from emailsys.client.archive.values import Place

    return Waiting(key, Place(account, folder), name, octets, Spool(path))


def _additions(rows: Sequence[Any], asked: BinaryIO) -> Sequence[Addition] | None:
    from emailsys.client.archive.values import Addition, Place

    additions = []
    for account, folder, source, octets in rows:
        message = asked.read(octets)
        if len(message) < octets:
            return None
        additions.append(Addition(message, Place(account, folder), source))
    return additions


class SecondProcess:
    """The first process's view of the second. Its methods may be called from any thread.

    They give None where it has died or could not. What it had kept by then has the same source when it is kept again,
    and is there once.
    """

    def __init__(self, process: int, requests: BinaryIO, answers: BinaryIO) -> None:
        """@param requests: without a buffer."""
        #: Its id.
        self.process = process
        self._requests = requests
        self._answers = answers
        self._free = threading.Lock()
        #: Whether it has been handed anything: then it may hold the store's write lock for a while.
        self.is_in_use = False
        #: Whether it has died or was closed.
        self.is_gone = False

    def add_many(self, additions: Sequence[Addition]) -> list[str] | None:
        """As `Archive.add_many`, for messages with a source and nothing else. None where it is busy, too."""
        if not self._free.acquire(blocking=False):
            return None
        try:
            rows = [(one.place.account, one.place.folder, one.source, len(one.octets)) for one in additions]
            return self._answer(_OCTETS, rows, [one.octets for one in additions])
        finally:
            self._free.release()

    def name(self, waiting: Sequence[Waiting]) -> list[str] | None:
        """As `Behind.name`, for messages without marks."""
        rows = [
            (one.place.account, one.place.folder, one.key, one.name, one.octets, os.path.abspath(one.spool.path))
            for one in waiting
        ]
        with self._free:
            keys = self._answer(_NAME, rows, [])
        if keys is not None:
            for one in waiting:
                one.spool.give_away()
        return keys

    def _answer(self, verb: str, rows: Sequence[Sequence[Any]], messages: Sequence[bytes]) -> list[str] | None:
        if self.is_gone:
            return None
        self.is_in_use = True
        try:
            request = memoryview(b"".join((json.dumps((verb, rows)).encode(), b"\n", *messages)))
            while request:
                request = request[self._requests.write(request) :]
            keys: list[str] | None = json.loads(self._answers.readline())
            return keys
        except (OSError, ValueError):
            self.is_gone = True
            return None

    def close(self) -> None:
        """Let it end, which takes it as long as the index does; nobody waits for that. May be called twice."""
        with self._free:
            self.is_gone = True
            with suppress(OSError):
                self._requests.close()
            self._answers.close()
