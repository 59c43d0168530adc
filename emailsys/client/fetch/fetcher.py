"""Fetcher: fetches POP3 accounts side by side; connects again after a lost session, reports progress and results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

from emailsys.client.accounts.blocking_secrets import BlockingSecrets
from emailsys.client.accounts.values import Account, Server
from emailsys.client.archive.values import ArchiveError, FetchStore
from emailsys.client.base.process_lock import LockTaken, ProcessLock
from emailsys.client.fetch.journal import FetchedIds
from emailsys.client.fetch.login import open_maildrop, pop3_of
from emailsys.client.fetch.maildrop_session import FetchCounts, MaildropSession, headers, listing
from emailsys.client.fetch.pop3 import POP3Lost, POP3Refused
from emailsys.client.fetch.stream import OpenStreams
from emailsys.client.fetch.threads import run_in_threads
from emailsys.client.fetch.values import (
    EVERYTHING_NEW,
    FetchError,
    FetchOptions,
    FetchResult,
    Progress,
    ServerMessage,
    Stage,
)
from emailsys.client.rules.filing import Filing

__all__ = ["FetchError", "FetchOptions", "FetchResult", "Fetcher", "Progress", "ServerMessage", "Stage"]

# Consecutive lost sessions without a new message before a fetch fails, and seconds between sessions.
_MAX_FRUITLESS: Final = 2
_RETRY_PAUSE: Final = 1.0
# Seconds between two reports of one stage.
_REPORT_INTERVAL: Final = 0.1
# Maximum wait of `watch` after failures, in seconds.
_MAX_WAIT: Final = 900.0


class _Reports:
    """Reports the progress of one account, at most ten times a second in each stage. Any thread may report."""

    def __init__(self, account: str, counts: FetchCounts, tell: Callable[[Progress], None]) -> None:
        self._account = account
        self._counts = counts
        self._tell = tell
        self._stage: Stage | None = None
        self._at = 0.0

    def __call__(self, stage: Stage, note: str = "") -> None:
        at = time.monotonic()
        if stage is self._stage and at - self._at < _REPORT_INTERVAL:
            return
        self._stage, self._at = stage, at
        counts = self._counts
        self._tell(
            Progress(
                self._account, stage, len(counts.keys), counts.all_messages, counts.octets, counts.all_octets, note
            )
        )


class _AccountFetch:
    """Fetch of one account, over as many sessions as necessary."""

    def __init__(self, fetcher: Fetcher, account: Account, wanted: FetchOptions, ids: FetchedIds) -> None:
        self._fetcher = fetcher
        self._account = account
        self._wanted = wanted
        self._ids = ids
        self._counts = FetchCounts()
        self._filing = Filing(account, fetcher.store, fetcher.now)
        self._report = _Reports(account.name, self._counts, fetcher.tell)

    def run(self) -> FetchResult:
        try:
            self._ids.load()
            if self._wanted.again:
                self._ids.forget()
            self._fetcher.store.add_account(self._account.name)
            self._sessions()
        except FetchError as error:
            return self._result(str(error), error.advice, error.transient)
        except ArchiveError as error:
            return self._result(str(error), "messages that were not stored are still on the server", True)
        except OSError as error:
            return self._result(f"{error.filename or 'the state folder'}: {error.strerror}", "", True)
        except Exception as error:
            # The other accounts are fetched, and the screen goes on.
            return self._result(self._fetcher.record(self._account.name, error), "fetch again for the rest", False)
        is_lost = bool(self._counts.refused.keys() & self._counts.lost_at)
        where = "it is still on the server" if len(self._counts.refused) == 1 else "they are still on the server"
        return self._result(self._refusals(), where, is_lost)

    def _sessions(self) -> None:
        fruitless = 0
        while True:
            before = self._progress_made()
            try:
                self._session()
            except POP3Lost as lost:
                fruitless = 0 if self._progress_made() > before else fruitless + 1
                if fruitless >= _MAX_FRUITLESS or not self._fetcher.streams.pause(_RETRY_PAUSE):
                    raise FetchError(
                        str(lost), "complete messages are stored; fetch again for the rest", transient=True
                    ) from lost
            except POP3Refused as refused:
                raise FetchError(str(refused), transient=True) from refused
            else:
                return

    def _progress_made(self) -> int:
        """Count what a session settled: messages that are stored or given up, and previews that are given up."""
        return len(self._counts.keys) + len(self._counts.refused) + (not self._counts.previews)

    def _session(self) -> None:
        fetcher = self._fetcher
        self._report(Stage.CONNECTING, str(self._account.pop3))
        client = open_maildrop(fetcher.streams.new(), self._account, fetcher.secrets)
        MaildropSession(
            client,
            self._account,
            self._wanted,
            fetcher.store,
            self._filing,
            self._ids,
            self._counts,
            fetcher.now,
            self._report,
        ).run()

    def _refusals(self) -> str | None:
        refused = self._counts.refused
        if not refused:
            return None
        uid, reason = next(iter(refused.items()))
        if len(refused) == 1:
            return f"the message {uid} was not fetched: {reason}"
        return f"{len(refused)} messages were not fetched, such as {uid}: {reason}"

    def _result(self, problem: str | None, advice: str, transient: bool) -> FetchResult:
        counts, filing = self._counts, self._filing
        notes = list(filing.notes)
        if self._account.notify is not None and filing.arrivals.count:
            from emailsys.client.fetch.notification import notify

            if (failed := notify(self._account, filing.arrivals)) is not None:
                notes.append(failed)
        self._report(Stage.FAILED if problem else Stage.DONE, problem or "")
        return FetchResult(
            self._account.name,
            tuple(counts.keys),
            counts.octets,
            counts.deleted,
            counts.on_server,
            tuple(counts.too_big),
            problem,
            advice if problem else "",
            transient,
            filing.filed,
            tuple(notes),
        )


class Fetcher:
    """Fetches mail into the local store. Its methods block until they are done or `stop` is called.

    Each command uses a fetcher of its own.
    """

    def __init__(
        self,
        store: FetchStore,
        secrets: BlockingSecrets,
        state: Path,
        now: Callable[[], datetime],
        progress: Callable[[Progress], None] = lambda progress: None,
        streams: OpenStreams | None = None,
    ) -> None:
        """
        @param state: the state folder of the client, for example `locations.state_folder()`.
        @param progress: called from any thread, by one thread at a time.
        @param streams: makes the connections.
        """
        self.store = store
        self.secrets = secrets
        self.now = now
        self.streams = streams or OpenStreams()
        self._progress = progress
        self._callback_lock = Lock()
        self._state = state

    def tell(self, progress: Progress) -> None:
        """Report the progress of a fetch."""
        with self._callback_lock:
            self._progress(progress)

    def record(self, account: str, error: Exception) -> str:
        """Record an unexpected exception. Return its text."""
        from emailsys.client.archive.unreadable import record

        return record(self._state, "the fetch", account, error)

    def stop(self) -> None:
        """Close all connections permanently. Complete messages are stored. Any thread may call this."""
        self.streams.hang_up()

    def fetch(self, account: Account, wanted: FetchOptions = EVERYTHING_NEW) -> FetchResult:
        """Fetch an account's new messages into its Inbox. Failures of servers and disks are in the result."""
        try:
            server = pop3_of(account)
        except FetchError as error:
            return FetchResult(account.name, problem=str(error), advice=error.advice)
        ids = self._ids(server)
        try:
            lock = ProcessLock(ids.lock_path)
        except LockTaken as taken:
            said = f"{taken} is fetching the mail of {account.name} now"
            return FetchResult(account.name, problem=said, advice="wait until it is done", transient=True)
        except OSError as error:
            return FetchResult(account.name, problem=f"{error.filename or self._state}: {error.strerror}")
        try:
            return _AccountFetch(self, account, wanted, ids).run()
        finally:
            lock.release()

    def fetch_all(self, accounts: Sequence[Account], wanted: FetchOptions = EVERYTHING_NEW) -> Sequence[FetchResult]:
        """Fetch accounts concurrently. Return the results in the order of accounts. Ctrl-C stops all fetches."""
        return run_in_threads([partial(self.fetch, account, wanted) for account in accounts], self.stop)

    def preview(self, account: Account, lines: int = 0, limit: int = 100) -> Sequence[ServerMessage]:
        """List messages on the server, latest first, with header and first lines (TOP). Nothing is fetched.

        @param lines: number of lines of each body.
        @param limit: maximum number of messages.
        @raise FetchError: the maildrop cannot be listed; the message says why.
        """
        ids = self._ids(pop3_of(account))
        try:
            ids.load()
        except OSError as error:
            raise FetchError(f"{error.filename or self._state}: {error.strerror}") from error
        client = open_maildrop(self.streams.new(), account, self.secrets)
        try:
            messages = listing(client)[0][-limit:] if limit > 0 else []
            found = headers(client, messages, lines)
            client.quit()
        except (POP3Lost, POP3Refused) as error:
            raise FetchError(str(error), transient=True) from error
        finally:
            client.close()
        return [
            ServerMessage(message.uid, message.octets, found.get(message.uid, b""), message.uid in ids)
            for message in reversed(messages)
        ]

    def watch(
        self,
        accounts: Sequence[Account],
        seconds: float,
        fetched: Callable[[FetchResult], None],
        wanted: FetchOptions = EVERYTHING_NEW,
    ) -> None:
        """Fetch each account periodically, until `stop` or Ctrl-C.

        After each failure of an account its wait doubles, up to 15 minutes. An exception of `fetched` ends all.

        @param seconds: time between the end of a fetch and the next one.
        @param fetched: called from any thread, by one thread at a time.
        """

        def watch_one(account: Account) -> None:
            wait = seconds
            while True:
                result = self.fetch(account, wanted)
                with self._callback_lock:
                    fetched(result)
                wait = seconds if result.problem is None else max(seconds, min(2 * wait, _MAX_WAIT))
                if not self.streams.pause(wait):
                    return

        run_in_threads([partial(watch_one, account) for account in accounts], self.stop, ends_at_error=True)

    def _ids(self, server: Server) -> FetchedIds:
        return FetchedIds(self._state / "fetched", server.host, server.username)
