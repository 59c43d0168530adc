"""A second process that keeps what a fetch brings in the local store, while the first one speaks to the servers."""

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

from emailsys.upstream import end_process

if TYPE_CHECKING:
    from emailsys.client.archive.archive import Archive
    from emailsys.client.archive.deferred_index import Behind
    from emailsys.client.archive.staging import Spooling, Waiting
    from emailsys.client.archive.values import Addition

# Octets that a pipe holds: as many as Linux gives without asking for more rights.
_PIPE: Final = 1024 * 1024
# What is asked: see `serve`.
_OPEN: Final = "open"
_ACCOUNT: Final = "account"
_KNOWN: Final = "known"
_KEEP: Final = "keep"
_NAME: Final = "name"
# Seconds without a request after which there is time for the index. Between two batches of a fetch it is less.
_IDLE: Final = 0.05
# Fewer messages wait for the second process.
_WORTH_WRITING: Final = 16


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
            end_process(0)
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
    """Do what is asked until nobody asks any more: the first process has ended, however that came.

    A request is a line of JSON, and the answer is one: null for what cannot be done. ["open", null] opens the store,
    which else the first of the others does, and has no answer; ["account", NAME] makes an account's folders: true;
    ["known", [SOURCE, ...]] is answered by those that are kept, with their keys; ["keep", [[account, folder, source,
    octets], ...]] has the messages behind it, and is answered by their keys when they are on disk under their names;
    ["name", [[account, folder, key, name, octets, path], ...]] does the same for messages that are on disk already.
    The next request follows the answer; where none comes for a while, and at the end, what was named is entered into
    the index.

    @param answered: without a buffer.
    @param is_asked: waits so many seconds for a request, or for the end of them.
    """
    with ExitStack() as open_until_the_end:
        archive: Archive | None = None
        behind: Behind | None = None
        while True:
            if behind is not None and behind.is_holding and (behind.is_due or not is_asked(_IDLE)):
                behind.enter()
            head = asked.readline()
            if not head.endswith(b"\n"):
                break
            verb, what = json.loads(head)
            additions = _additions(what, asked) if verb == _KEEP else ()
            if additions is None:
                break
            if archive is None or behind is None:
                archive = opened()
                open_until_the_end.callback(archive.close)
                behind = archive.behind(time.monotonic)
            if verb != _OPEN:
                with suppress(OSError):
                    # Where nobody hears it any more there is nothing more to be read either.
                    answered.write(json.dumps(_answer(archive, behind, verb, what, additions)).encode() + b"\n")
        if behind is not None and behind.is_holding:
            behind.enter()


def _answer(archive: Archive, behind: Behind, verb: str, what: Any, additions: Sequence[Addition]) -> Any:
    from emailsys.client.archive.values import ArchiveError

    try:
        if verb == _KEEP:
            return behind.add_many(additions)
        if verb == _NAME:
            return behind.name([_waiting(*row) for row in what])
        if behind.is_holding:
            behind.enter()
        if verb == _KNOWN:
            return archive.known(what)
        archive.add_account(what)
        return True
    except ArchiveError:
        # The first process tries the same, and hears why it cannot be done.
        return None


def _waiting(account: str, folder: str, key: str, name: str, octets: int, path: str) -> Waiting:
    from emailsys.client.archive.files import Spool
    from emailsys.client.archive.staging import Waiting
    from emailsys.client.archive.values import Place

    return Waiting(key, Place(account, folder), name, octets, Spool(path))


def _additions(rows: Sequence[Any], asked: BinaryIO) -> Sequence[Addition] | None:
    """The messages of a batch; None where the first process died in the middle of it."""
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
        self._one_at_a_time = threading.Lock()
        self._is_gone = False

    def open(self) -> None:
        """Let it open the store by the time that something is to be done there."""
        with self._one_at_a_time:
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
        """Whether somebody waits for an answer."""
        return self._one_at_a_time.locked()

    @property
    def is_gone(self) -> bool:
        """Whether it has died or was closed."""
        return self._is_gone

    def add_many(self, additions: Sequence[Addition]) -> list[str] | None:
        """As `Archive.add_many`, for messages with a source and nothing else; they are in the index later."""
        rows = [(one.place.account, one.place.folder, one.source, len(one.octets)) for one in additions]
        keys: list[str] | None = self._answer(_KEEP, rows, [one.octets for one in additions])
        return keys

    def name(self, waiting: Sequence[Waiting]) -> list[str] | None:
        """Name messages that are on disk already, without marks; they are in the index later."""
        rows = [
            (one.place.account, one.place.folder, one.key, one.name, one.octets, os.path.abspath(one.spool.path))
            for one in waiting
        ]
        keys: list[str] | None = self._answer(_NAME, rows)
        if keys is not None:
            for one in waiting:
                one.spool.give_away()
        return keys

    def _answer(self, verb: str, what: Any, messages: Sequence[bytes] = ()) -> Any:
        with self._one_at_a_time:
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
        """Let it end, which takes it as long as the index does; nobody waits for that. May be called twice."""
        with self._one_at_a_time:
            self._is_gone = True
            with suppress(OSError):
                self._requests.close()
            self._answers.close()


class SecondStore:
    """The local store as a fetch needs it, kept by a second process; what that cannot do, this one does.

    While the second has its hands full, this one writes and syncs messages too, and the second names them: it alone
    gives names, so that neither need look for those of the other.
    """

    def __init__(
        self, second: SecondProcess, root: Path, now: Callable[[], datetime], opened: Callable[[], Archive]
    ) -> None:
        """
        @param root: of the store, and `now` of its clock, as the second process has them.
        @param opened: gives this process's view of the store, once that is needed.
        """
        self._second = second
        self._root = root
        self._now = now
        self._opened = opened
        self._opening = threading.Lock()
        self._spooling: Spooling | None = None
        second.open()

    def _own(self) -> Archive:
        with self._opening:
            return self._opened()

    def add_account(self, account: str) -> None:
        """As `Archive.add_account`."""
        if self._second.add_account(account) is None:
            self._own().add_account(account)

    def known(self, sources: Iterable[str]) -> dict[str, str]:
        """As `Archive.known`."""
        asked = [*sources]
        found = self._second.known(asked)
        return self._own().known(asked) if found is None else found

    def add_many(self, additions: Sequence[Addition]) -> list[str]:
        """As `Archive.add_many`; the index comes behind."""
        if self._second.is_busy and len(additions) >= _WORTH_WRITING and not self._second.is_gone:
            with self._own_spooling().spooled(additions, self._now()) as waiting:
                keys = self._second.name(waiting)
        else:
            keys = self._second.add_many(additions)
        return self._own().add_many(additions) if keys is None else keys

    def _own_spooling(self) -> Spooling:
        with self._opening:
            if self._spooling is None:
                from emailsys.client.archive.staging import Spooling

                self._spooling = Spooling(self._root)
            return self._spooling

    def close(self) -> None:
        """End what this process has begun."""
        if self._spooling is not None:
            self._spooling.close()
