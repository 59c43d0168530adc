"""Fetch mail by POP3: kept and synced here first, recorded, and only then deleted there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from twisted.internet.task import deferLater

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, Server
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import ArchiveError
from emailsys.client.claims import Claim, Claimed
from emailsys.client.fetch_values import (
    EVERYTHING_NEW,
    Fetched,
    FetchError,
    Progress,
    Stage,
    Waiting,
    Wanted,
)
from emailsys.client.fetched_ids import FetchedIds
from emailsys.client.maildrop_round import Round, Tally, headers, listing
from emailsys.client.pop3_login import open_maildrop, pop3_of
from emailsys.client.threads import InThread, threads_of
from emailsys.client.together import all_to_their_end
from emailsys.net.pop3_client import POP3Client, POP3Lost, POP3Refused

__all__ = ["FetchError", "Fetched", "Fetcher", "Progress", "Stage", "Waiting", "Wanted"]

# How often a session is begun anew in which nothing came, and seconds before that.
_FRUITLESS: Final = 2
_BREATH: Final = 1.0
# Seconds between two reports of one stage.
_REPORT_EVERY: Final = 0.1
# The longest wait of `watch` after failures, in seconds.
_LONGEST_WAIT: Final = 900.0


class _Reports:
    """Tells of progress, but not a thousand times a second."""

    def __init__(self, reactor: Any, account: str, tally: Tally, tell: Callable[[Progress], None]) -> None:
        self._reactor = reactor
        self._account = account
        self._tally = tally
        self._tell = tell
        self._stage: Stage | None = None
        self._at = 0.0

    def __call__(self, stage: Stage, note: str = "") -> None:
        at = self._reactor.seconds()
        if stage is self._stage and at - self._at < _REPORT_EVERY:
            return
        self._stage, self._at = stage, at
        tally = self._tally
        self._tell(
            Progress(self._account, stage, len(tally.keys), tally.all_messages, tally.octets, tally.all_octets, note)
        )


class _AccountFetch:
    """One account's fetch, over as many sessions as it takes."""

    def __init__(self, fetcher: Fetcher, account: Account, server: Server, wanted: Wanted, ids: FetchedIds) -> None:
        self._fetcher = fetcher
        self._account = account
        self._server = server
        self._wanted = wanted
        self._ids = ids
        self._tally = Tally()
        self._report = _Reports(fetcher.reactor, account.name, self._tally, fetcher.progress)
        self._round: Round | None = None

    async def run(self) -> Fetched:
        try:
            await self._fetcher.in_thread(self._prepare)
            await self._sessions()
        except FetchError as error:
            return self._result(str(error), error.advice, error.transient)
        except ArchiveError as error:
            return self._result(str(error), "the server still has what was not kept here", True)
        except OSError as error:
            return self._result(f"{error.filename or 'the state folder'}: {error.strerror}", "", True)
        return self._result(self._refusals(), "the server has them still", False)

    def _prepare(self) -> None:
        self._ids.load()
        self._fetcher.archive.add_account(self._account.name)

    async def _sessions(self) -> None:
        fruitless = 0
        while True:
            self._report(Stage.CONNECTING, str(self._server))
            client = await open_maildrop(self._fetcher.reactor, self._account, self._fetcher.secrets)
            before = len(self._tally.keys)
            try:
                await self._session(client)
            except POP3Lost as lost:
                fruitless = 0 if len(self._tally.keys) > before else fruitless + 1
                if fruitless >= _FRUITLESS:
                    raise FetchError(str(lost), "what came is kept; fetch again for the rest", transient=True) from lost
                await deferLater(self._fetcher.reactor, _BREATH)
            except POP3Refused as refused:
                raise FetchError(str(refused), transient=True) from refused
            else:
                return

    async def _session(self, client: POP3Client) -> None:
        fetcher = self._fetcher
        self._round = Round(
            client,
            self._account,
            self._wanted,
            fetcher.archive,
            self._ids,
            self._tally,
            fetcher.now,
            fetcher.in_thread,
            self._report,
        )
        await self._round.run()

    def release(self, claim: Claim) -> None:
        """Give the claim back, when nothing is being kept any more."""
        if self._round is None:
            claim.release()
        else:
            self._round.intake.when_idle(claim.release)

    def _refusals(self) -> str | None:
        refused = self._tally.refused
        if not refused:
            return None
        uid, reason = next(iter(refused.items()))
        if len(refused) == 1:
            return f"the server would not give the message {uid}: {reason}"
        return f"the server would not give {len(refused)} messages, such as {uid}: {reason}"

    def _result(self, problem: str | None, advice: str, transient: bool) -> Fetched:
        tally = self._tally
        self._report(Stage.FAILED if problem else Stage.DONE, problem or "")
        return Fetched(
            self._account.name,
            tuple(tally.keys),
            tally.octets,
            tally.deleted,
            tally.on_server,
            tuple(tally.too_big),
            problem,
            advice if problem else "",
            transient,
        )


class Fetcher:
    """Fetches mail into the archive. One for the whole program."""

    def __init__(
        self,
        reactor: Any,
        archive: Archive,
        secrets: Secrets,
        state: Path,
        now: Callable[[], datetime],
        progress: Callable[[Progress], None] = lambda progress: None,
        in_thread: InThread | None = None,
    ) -> None:
        """
        @param state: such as `places.state_folder()`.
        @param in_thread: None for the reactor's threads.
        """
        self.reactor = reactor
        self.archive = archive
        self.secrets = secrets
        self.now = now
        self.progress = progress
        self.in_thread = in_thread or threads_of(reactor)
        self._state = state

    async def fetch(self, account: Account, wanted: Wanted = EVERYTHING_NEW) -> Fetched:
        """Fetch one account's new messages into its Inbox. Never raises for what servers, disks or people do.

        Cancelled, it hangs up; what is complete by then is kept.
        """
        try:
            server = pop3_of(account)
        except FetchError as error:
            return Fetched(account.name, problem=str(error), advice=error.advice)
        ids = FetchedIds(self._state / "fetched", server.host, server.username)
        try:
            claim = Claim(ids.claim_path)
        except Claimed as claimed:
            said = f"{claimed} is fetching the mail of {account.name} now"
            return Fetched(account.name, problem=said, advice="wait until it is done", transient=True)
        except OSError as error:
            return Fetched(account.name, problem=f"{error.filename or self._state}: {error.strerror}")
        work = _AccountFetch(self, account, server, wanted, ids)
        try:
            return await work.run()
        finally:
            work.release(claim)

    async def fetch_all(self, accounts: Sequence[Account], wanted: Wanted = EVERYTHING_NEW) -> Sequence[Fetched]:
        """Fetch accounts side by side; results in their order."""
        return await all_to_their_end(self.fetch(account, wanted) for account in accounts)

    async def preview(self, account: Account, lines: int = 0, limit: int = 100) -> Sequence[Waiting]:
        """What is on the server, the latest first, each with header and so many lines (TOP); nothing is fetched.

        @param limit: of so many messages.
        @raise FetchError: it cannot be told; the message says why.
        """
        server = pop3_of(account)
        ids = FetchedIds(self._state / "fetched", server.host, server.username)
        try:
            await self.in_thread(ids.load)
        except OSError as error:
            raise FetchError(f"{error.filename or self._state}: {error.strerror}") from error
        client = await open_maildrop(self.reactor, account, self.secrets)
        try:
            messages = (await listing(client))[0][-limit:] if limit > 0 else []
            found = await headers(client, messages, lines)
            await client.quit()
        except (POP3Lost, POP3Refused) as error:
            raise FetchError(str(error), transient=True) from error
        finally:
            client.abort()
        return [
            Waiting(message.uid, message.octets, found.get(message.uid, b""), message.uid in ids)
            for message in reversed(messages)
        ]

    async def watch(
        self,
        accounts: Sequence[Account],
        seconds: float,
        fetched: Callable[[Fetched], None],
        wanted: Wanted = EVERYTHING_NEW,
    ) -> None:
        """Fetch again and again, each account so many seconds after its last fetch ended, until cancelled.

        After failures it waits twice as long each time, up to a quarter of an hour.
        """
        await all_to_their_end(self._watch(account, seconds, fetched, wanted) for account in accounts)

    async def _watch(
        self, account: Account, seconds: float, fetched: Callable[[Fetched], None], wanted: Wanted
    ) -> None:
        wait = seconds
        while True:
            result = await self.fetch(account, wanted)
            fetched(result)
            wait = seconds if result.problem is None else max(seconds, min(2 * wait, _LONGEST_WAIT))
            await deferLater(self.reactor, wait)
