"""Session of the mail commands: the user's mailbox, and running coroutines on a reactor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

if TYPE_CHECKING:
    from emailsys.client.archive.reading_process import ReadingProcess
    from emailsys.client.archive.values import FetchStore, Summary
    from emailsys.client.archive.worker import WorkerProcess
    from emailsys.client.fetch.stream import OpenStreams
    from emailsys.client.mailbox import UserMailbox
    from emailsys.interfaces.wiretap import IWiretap

T = TypeVar("T")
#: A coroutine function that gets the reactor.
Work = Callable[[Any], Coroutine[Any, Any, T]]


class Runner(Protocol):
    """Runs work on a reactor until it ends. @raise KeyboardInterrupt: the user pressed Ctrl-C, and it was cancelled."""

    def __call__(self, work: Work[T]) -> T: ...


class Session:
    """One run of a command, or of the mail shell."""

    def __init__(self, run: Runner | None = None, folder: str = "Inbox") -> None:
        """
        @param run: runs coroutines; None for the default reactor, which can run only once.
        @param folder: the folder that `list` shows by default.
        """
        self.run: Runner = run if run is not None else run_once
        #: The folder that `list` shows by default.
        self.folder = folder
        #: In the mail shell: the last list, so that a number stands for a message. None in other commands.
        self.numbered: list[Summary] | None = None
        #: Records the connections of a verb, None for none; and whether they are shown on standard error.
        self.wiretap: IWiretap | None = None
        self.shows_wire = False
        self._worker: WorkerProcess | None = None
        self._at_the_end = ExitStack()

    @cached_property
    def mailbox(self) -> UserMailbox:
        """The mailbox of this user, opened on first use."""
        from emailsys.cli.mail.safe_output import tell
        from emailsys.client.base.locations import accounts_file, archive_folder, state_folder
        from emailsys.client.mailbox import MailboxPaths, UserMailbox

        return UserMailbox(MailboxPaths(accounts_file(), archive_folder(), state_folder()), _now, tell)

    def start_archive_worker(self) -> None:
        """Start the worker process that stores fetched mail. Call this before the large imports.

        The interactive shell and the full screen have no worker.
        """
        if self.run is run_once:
            from emailsys.client.archive.worker import start
            from emailsys.client.base.locations import archive_folder

            self._worker = start(archive_folder(), _now)

    def start_import_reader(self) -> ReadingProcess | None:
        """Start the process that reads messages during an import. Call this before the large imports.

        The interactive shell and the full screen have none.
        """
        if self.run is not run_once:
            return None
        from emailsys.client.archive.reading_process import start
        from emailsys.client.base.locations import archive_folder

        reading = start(archive_folder(), _now)
        if reading is not None:
            self._at_the_end.callback(reading.close)
        return reading

    def fetch_store(self) -> FetchStore:
        """The store of a fetch: the worker process if there is one, else the archive of this process."""
        if self._worker is None:
            self.mailbox.archive.refresh()
            return self.mailbox.archive
        from emailsys.client.archive.worker import WorkerArchive

        mailbox = self.mailbox
        store = WorkerArchive(self._worker, mailbox.paths.archive, mailbox.now, lambda: mailbox.archive)
        self._at_the_end.callback(store.close)
        return store

    def streams(self) -> OpenStreams:
        """Return the factory of connections to POP3 servers, which are recorded if a wiretap is set."""
        if self.wiretap is None:
            from emailsys.client.fetch.stream import OpenStreams

            return OpenStreams()
        from emailsys.client.fetch.tapped import tapped_streams

        return tapped_streams(self.wiretap)

    def tell_reports(self) -> None:
        """Tell the user which files of the archive are gone or cannot be read."""
        if "mailbox" in self.__dict__ and "archive" in self.mailbox.__dict__:
            from emailsys.cli.mail.safe_output import tell

            reports = self.mailbox.archive.reports
            while reports:
                tell(reports.pop(0))

    def close(self) -> None:
        """Close the mailbox and the worker process, if they were opened."""
        self.tell_reports()
        self._at_the_end.close()
        if self._worker is not None:
            self._worker.close()
        if "mailbox" in self.__dict__:
            self.mailbox.close()


def _now() -> datetime:
    return datetime.now().astimezone()


def pass_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a verb that takes the Session as its first argument."""
    return click.make_pass_decorator(Session)(function)


def run_once(work: Work[T]) -> T:
    """Run work on the default reactor. The reactor cannot run again in this process.

    Ctrl-C cancels the work and waits until it has ended.

    @raise KeyboardInterrupt: the user pressed Ctrl-C.
    """
    from twisted.internet import reactor as the_reactor
    from twisted.internet.defer import Deferred

    reactor: Any = the_reactor
    outcome: list[Any] = []
    running: list[Deferred[None]] = []

    def begin() -> None:
        ended: Deferred[None] = Deferred.fromCoroutine(work(reactor)).addBoth(outcome.append)
        running.append(ended.addCallback(lambda _: None if stopping else reactor.stop()))

    stopping: list[bool] = []

    def end() -> Deferred[None] | None:
        stopping.append(True)
        if not outcome and running:
            running[0].cancel()
            return running[0]
        return None

    reactor.addSystemEventTrigger("before", "shutdown", end)
    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        raise KeyboardInterrupt
    ended_with: T = result_of(outcome[0])
    return ended_with


def result_of(outcome: Any) -> Any:
    """Return the result of a Deferred, or raise its exception. @raise KeyboardInterrupt: it was cancelled."""
    from twisted.internet.defer import CancelledError
    from twisted.python.failure import Failure

    if isinstance(outcome, Failure):
        if isinstance(outcome.value, CancelledError):
            raise KeyboardInterrupt
        outcome.raiseException()
    return outcome
