"""Fetches of the full screen: by a key, with progress in the status line, and by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from emailsys.client.accounts.values import Account, AccountError
from emailsys.client.display.list_text import message_count
from emailsys.client.display.problem_text import problem_text
from emailsys.client.fetch.schedule import FetchSchedule
from emailsys.client.fetch.values import FetchResult, Progress, Stage
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.panes import Panes
from emailsys.client.screen.program import MailProgram
from emailsys.mail.quantities import counted

#: Seconds between two looks whether an account is due.
LOOK_EVERY: Final = 5.0


class FetchAction:
    """Fetches mail: for all accounts at a key, and each account by itself when it is due. One fetch runs at a time."""

    def __init__(self, mailbox: UserMailbox, app: MailProgram, screen: Panes) -> None:
        self._mailbox = mailbox
        self._app = app
        self._screen = screen
        #: When each account is fetched next.
        self.schedule = FetchSchedule(time.monotonic)
        self._progress: dict[str, Progress] = {}
        self._running = asyncio.Lock()
        # Whether the running fetch was asked for.
        self._is_asked = False
        # The error of the accounts file that was told.
        self._file_error = ""

    async def fetch(self) -> None:
        """Fetch new mail, and show the result."""
        if self._running.locked() and self._is_asked:
            self._screen.show_status("Mail is already being fetched.")
            return
        self._is_asked = True
        try:
            accounts = await self._accounts()
            if not accounts:
                self._screen.show_status(
                    "There is no account to fetch from. Leave, and add one: emailsys mail account add you@example.org",
                    error=True,
                )
                return
            self._screen.show_status("Fetching mail ...")
            # A fetch that nobody asked for ends first.
            async with self._running:
                self._progress.clear()
                self._screen.show_status("Fetching mail ...")
                self._screen.progress(0, None)
                results = await self._app.network.fetch(accounts, self._show_progress)
        finally:
            self._is_asked = False
            self._screen.progress(None, None)
        for account, result in zip(accounts, results, strict=True):
            self.schedule.fetched(account, result)
        await self._screen.reload()
        self._report(results, [_sentences(one) for one in results], self._next(accounts))

    async def fetch_due(self) -> None:
        """Fetch the accounts that are due, without asking for passwords. The same failure is told once."""
        if self._running.locked():
            return
        try:
            accounts = await self._accounts()
        except AccountError as error:
            if str(error) != self._file_error:
                self._file_error = str(error)
                raise
            return
        self._file_error = ""
        due = self.schedule.due(accounts)
        if not due or self._running.locked():
            return
        async with self._running:
            self._progress.clear()
            results = await self._app.network.fetch(due, self._show_if_asked, may_ask=False)
        new: list[list[str]] = []
        for account, result in zip(due, results, strict=True):
            untold = self.schedule.fetched(account, result)
            new.append([problem_text(one, result.advice) if one == result.problem else one for one in untold])
        if any(one.keys for one in results):
            await self._screen.reload()
        if any(new) or any(one.problem is None for one in results):
            self._report(results, new, self._next(accounts))

    async def _accounts(self) -> list[Account]:
        return [one for one in await asyncio.to_thread(self._mailbox.accounts) if one.pop3 is not None]

    def _next(self, accounts: Sequence[Account]) -> str:
        wait = self.schedule.next_in(accounts)
        # The clock shows minutes: the nearest one is told.
        return "" if wait is None else f"Next fetch at {self._mailbox.now() + timedelta(seconds=wait + 30):%H:%M}."

    def _show_if_asked(self, progress: Progress) -> None:
        """Show the progress of a fetch that began by itself, if one that the user asked for waits for its end."""
        if self._is_asked:
            self._show_progress(progress)

    def _show_progress(self, progress: Progress) -> None:
        self._progress[progress.account] = progress
        done = sum(one.messages for one in self._progress.values())
        of = sum(one.all_messages for one in self._progress.values())
        stages = {one.stage for one in self._progress.values()} - {Stage.DONE, Stage.FAILED}
        words = ", ".join(sorted(stage.value for stage in stages)) or "done"
        self._screen.show_status(f"{words}: {done} of {counted(of, 'message')}" if of else words)
        self._screen.progress(done, of)

    def _report(self, results: Sequence[FetchResult], problems: Sequence[Sequence[str]], then: str) -> None:
        """Show the result in the status line. @param problems: the sentences about each account to tell."""
        number = sum(len(one.keys) for one in results)
        what = message_count(number, "new ") if number else "No new mail"
        filed = sum(one.filed for one in results)
        big = sum(len(one.too_big) for one in results)
        self._screen.show_status(
            f"{what}{f', {filed:,} filed by rules' if filed else ''}, at {self._mailbox.now():%H:%M}."
            f"{f' {message_count(big)} too large, left on the server.' if big else ''} {then}".rstrip()
        )
        for one, words in zip(results, problems, strict=True):
            for problem in words:
                self._screen.show_status(f"{one.account}: {problem_text(problem, then)}", error=True)


def _sentences(result: FetchResult) -> list[str]:
    return [*result.notes, *([problem_text(result.problem, result.advice)] if result.problem is not None else [])]
