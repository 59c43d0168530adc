"""Worker process of a fetch: writes messages to the local store while the first process talks to the servers."""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from emailsys.client.archive.forked_process import PIPE_OCTETS, fork

if TYPE_CHECKING:
    from emailsys.client.archive.archive import Archive
    from emailsys.client.archive.staging import Staged, Staging
    from emailsys.client.archive.values import Addition, Folder
    from emailsys.client.archive.writer import Writer

# Requests: see `serve`.
_OPEN: Final = "open"
_ACCOUNT: Final = "account"
_KNOWN: Final = "known"
_ADD: Final = "add"
_NAME: Final = "name"
# Seconds without a request before the index is written. Batches of a running fetch follow each other faster.
_IDLE_SECONDS: Final = 0.05
# Smaller batches wait for the worker instead of being staged by this process.
_MIN_STAGED: Final = 16


def start(root: Path, now: Callable[[], datetime]) -> WorkerProcess | None:
    """Fork the worker process. Return None without `fork` or a second processor, or if other threads are running.

    Call it before the large imports: less memory is copied, and both processes import at the same time.

    @param root: the store's folder.
    @param now: the current moment, with time zone.
    """
    root = root.absolute()
    forked = fork(lambda asked, answered: _run_worker(root, now, asked, answered))
    if forked is None:
        return None
    process, requests, answers = forked
    return WorkerProcess(process, open(requests, "wb", buffering=0), open(answers, "rb"))


def _run_worker(root: Path, now: Callable[[], datetime], asked: int, answered: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    # Only what takes long while the store is opened is told to the user.
    said = nowhere if sys.stderr is None else os.dup(2)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    from emailsys.client.archive.archive import Archive

    def has_request(seconds: float) -> bool:
        return bool(select.select([asked], [], [], seconds)[0])

    def tell(text: str) -> None:
        with suppress(OSError):
            os.write(said, f"{text}\n".encode())

    def opened() -> Archive:
        try:
            return Archive(root, now, tell)
        finally:
            os.close(said)

    with open(asked, "rb", PIPE_OCTETS) as requests, open(answered, "wb", 0) as answers:
        serve(opened, requests, answers, has_request)


def serve(
    opened: Callable[[], Archive], asked: BinaryIO, answered: BinaryIO, has_request: Callable[[float], bool]
) -> None:
    """Serve requests until the first process closes the pipe or dies.

    Each request and each answer is a line of JSON. The answer is null if the request failed. Requests:

    - ["open", null] opens the store. It has no answer. Other requests open the store too, if it is not open.
    - ["account", NAME] makes an account's folders. Answer: true.
    - ["known", [SOURCE, ...]] looks up sources. Answer: an object with the key of each source that is stored.
    - ["add", [[account, folder, source, octets, flags, tag, ...], ...]], followed by the octets of the messages.
      Answer: the keys, once the messages are on disk under their final names.
    - ["name", [[account, folder, key, path, flags, tag, ...], ...]] reads the headers of staged messages, and names the
      messages. Answer: the keys.

    The client sends the next request after the answer. Named messages are written to the index when no request
    arrives for 50 ms, when much is queued, and at the end.

    @param answered: an unbuffered file.
    @param has_request: waits up to that many seconds; returns whether a request or the end of the pipe can be read.
    """
    with ExitStack() as resources:
        archive: Archive | None = None
        writer: Writer | None = None
        while True:
            if writer is not None and writer.has_lock and (writer.is_flush_due or not has_request(_IDLE_SECONDS)):
                writer.flush()
            head = asked.readline()
            if not head.endswith(b"\n"):
                break
            verb, what = json.loads(head)
            additions = _additions(what, asked) if verb == _ADD else ()
            if additions is None:
                break
            if archive is None or writer is None:
                archive = opened()
                resources.callback(archive.close)
                writer = resources.enter_context(archive.writer(time.monotonic))
            if verb != _OPEN:
                with suppress(OSError):
                    # If the first process is dead, the next read finds the end of the pipe.
                    answered.write(json.dumps(_answer(archive, writer, verb, what, additions)).encode() + b"\n")


def _answer(archive: Archive, writer: Writer, verb: str, what: Any, additions: Sequence[Addition]) -> Any:
    from emailsys.client.archive.values import ArchiveError

    try:
        if verb == _ADD:
            return writer.add(additions)
        if verb == _NAME:
            return writer.name([_staged(writer, *row) for row in what])
        writer.flush()
        if verb == _KNOWN:
            return archive.known(what)
        archive.add_account(what)
        return True
    except ArchiveError:
        # The first process repeats the request itself, and gets the exception.
        return None


def _staged(writer: Writer, account: str, folder: str, key: str, path: str, flags: int, *tags: str) -> Staged:
    from emailsys.client.archive.marks import Marks
    from emailsys.client.archive.values import Flag, Folder

    return writer.read_staged(key, Folder(account, folder), path, Marks(Flag(flags), tags))


def _additions(rows: Sequence[Any], asked: BinaryIO) -> Sequence[Addition] | None:
    """Read the messages of a batch. Return None if the first process died in the middle of it."""
    from emailsys.client.archive.values import Addition, Flag, Folder

    additions = []
    for account, folder, source, octets, flags, *tags in rows:
        message = asked.read(octets)
        if len(message) < octets:
            return None
        additions.append(Addition(message, Folder(account, folder), source, Flag(flags), tuple(tags)))
    return additions


class WorkerProcess:
    """Client of the worker process. Any thread may call its methods.

    A method returns None if the worker died or the request failed. The caller can then add the same messages itself:
    a source is stored only once.
    """

    def __init__(self, process: int, requests: BinaryIO, answers: BinaryIO) -> None:
        """@param requests: an unbuffered file."""
        #: Process id of the worker.
        self.process = process
        self._requests = requests
        self._answers = answers
        self._request_lock = threading.Lock()
        self._is_gone = False

    def open(self) -> None:
        """Tell the worker to open the store, and do not wait for it."""
        with self._request_lock:
            self._ask(_OPEN, None)

    def add_account(self, account: str) -> bool | None:
        """As `Archive.add_account`."""
        made: bool | None = self._answer(_ACCOUNT, account)
        return made

    def known(self, sources: Iterable[str]) -> dict[str, str] | None:
        """As `Archive.known`."""
        found: dict[str, str] | None = self._answer(_KNOWN, [*sources])
        return found

    @property
    def is_busy(self) -> bool:
        """Whether a thread is waiting for an answer."""
        return self._request_lock.locked()

    @property
    def is_gone(self) -> bool:
        """Whether the worker died or was closed."""
        return self._is_gone

    def add(self, additions: Sequence[Addition]) -> list[str] | None:
        """As `Writer.add`, for additions without note and time of arrival."""
        rows = [
            (one.folder.account, one.folder.name, one.source, len(one.octets), int(one.flags), *one.tags)
            for one in additions
        ]
        keys: list[str] | None = self._answer(_ADD, rows, [one.octets for one in additions])
        return keys

    def name(self, staged: Sequence[Staged]) -> list[str] | None:
        """As `Writer.name`, for messages without a note. The worker reads their headers."""
        rows = [
            (
                *(one.folder.account, one.folder.name, one.key, os.path.abspath(one.spool.path)),
                *(int(one.marks.flags), *one.marks.tags),
            )
            for one in staged
        ]
        keys: list[str] | None = self._answer(_NAME, rows)
        if keys is not None:
            for one in staged:
                one.spool.mark_named()
        return keys

    def _answer(self, verb: str, what: Any, messages: Sequence[bytes] = ()) -> Any:
        with self._request_lock:
            self._ask(verb, what, messages)
            try:
                return None if self._is_gone else json.loads(self._answers.readline())
            except (OSError, ValueError):
                self._is_gone = True
                return None

    def _ask(self, verb: str, what: Any, messages: Sequence[bytes] = ()) -> None:
        if self._is_gone:
            return
        try:
            request = memoryview(b"".join((json.dumps((verb, what)).encode(), b"\n", *messages)))
            while request:
                request = request[self._requests.write(request) :]
        except OSError:
            self._is_gone = True

    def close(self) -> None:
        """Let the worker end after it has written the index, and do not wait for it. May be called twice."""
        with self._request_lock:
            self._is_gone = True
            with suppress(OSError):
                self._requests.close()
            self._answers.close()


class WorkerArchive:
    """The local store during a fetch, written by the worker process. If the worker fails, this process writes.

    While the worker is busy, this process stages messages too, and the worker names them. Only the worker names
    messages, so that neither process has to read folders for names of the other.
    """

    def __init__(
        self, worker: WorkerProcess, root: Path, now: Callable[[], datetime], opened: Callable[[], Archive]
    ) -> None:
        """
        @param root: the store's folder, as the worker has it.
        @param now: the current moment, with time zone.
        @param opened: opens the store in this process, or returns the open one.
        """
        self._worker = worker
        self._root = root
        self._now = now
        self._opened = opened
        self._opening = threading.Lock()
        self._staging: Staging | None = None
        worker.open()

    def _own(self) -> Archive:
        with self._opening:
            return self._opened()

    def add_account(self, account: str) -> None:
        """As `Archive.add_account`."""
        if self._worker.add_account(account) is None:
            self._own().add_account(account)

    def has_folder(self, folder: Folder) -> bool:
        """Whether the folder exists on disk, with its name in this case."""
        try:
            # On a file system that ignores case, `is_dir` alone would find "Lists" as "lists".
            names = os.listdir(self._root / folder.account)
        except OSError:
            return False
        return folder.name in names and (self._root / folder.account / folder.name).is_dir()

    def known(self, sources: Iterable[str]) -> dict[str, str]:
        """As `Archive.known`."""
        asked = [*sources]
        found = self._worker.known(asked)
        return self._own().known(asked) if found is None else found

    def add_many(self, additions: Sequence[Addition]) -> list[str]:
        """As `Archive.add_many`, but the worker writes the index later."""
        if self._worker.is_busy and len(additions) >= _MIN_STAGED and not self._worker.is_gone:
            from emailsys.client.archive.staging import Reading

            with self._own_staging().staged(additions, self._now(), Reading.NOTHING) as staged:
                keys = self._worker.name(staged)
        else:
            keys = self._worker.add(additions)
        return self._own().add_many(additions) if keys is None else keys

    def _own_staging(self) -> Staging:
        with self._opening:
            if self._staging is None:
                from emailsys.client.archive.staging import Staging

                self._staging = Staging(self._root)
            return self._staging

    def close(self) -> None:
        """Close this process's staging. The worker has its own `close`."""
        if self._staging is not None:
            self._staging.close()
