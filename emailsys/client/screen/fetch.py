"""Fetch action of the full screen, with progress in the status line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from emailsys.client.display.list_text import message_count
from emailsys.client.display.problem_text import problem_text
from emailsys.client.fetch.values import FetchResult, Progress, Stage
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.panes import Panes
from emailsys.client.screen.program import MailProgram


class FetchAction:
    """Fetches mail for all accounts. Only one fetch runs at a time."""

    def __init__(self, mailbox: UserMailbox, app: MailProgram, screen: Panes) -> None:
        self._mailbox = mailbox
        self._app = app
        self._screen = screen
        self._progress: dict[str, Progress] = {}
        self._busy = False

    async def fetch(self) -> None:
        """Fetch new mail, and show the result."""
        if self._busy:
            self._screen.show_status("Mail is already being fetched.")
            return
        accounts = [one for one in await asyncio.to_thread(self._mailbox.accounts) if one.pop3 is not None]
        if not accounts:
            self._screen.show_status(
                "There is no account to fetch from. Leave, and add one: emailsys mail account add you@example.org",
                error=True,
            )
            return
        self._busy = True
        self._progress.clear()
        self._screen.show_status("Fetching mail ...")
        self._screen.progress(0, None)
        try:
            results = await self._app.network.fetch(accounts, self._show_progress)
        finally:
            self._busy = False
            self._screen.progress(None, None)
        await self._screen.reload()
        self._report(results)

    def _show_progress(self, progress: Progress) -> None:
        self._progress[progress.account] = progress
        done = sum(one.messages for one in self._progress.values())
        of = sum(one.all_messages for one in self._progress.values())
        stages = {one.stage for one in self._progress.values()} - {Stage.DONE, Stage.FAILED}
        words = ", ".join(sorted(stage.value for stage in stages)) or "done"
        self._screen.show_status(f"{words}: {done} of {of} messages" if of else words)
        self._screen.progress(done, of)

    def _report(self, results: Sequence[FetchResult]) -> None:
        number = sum(len(one.keys) for one in results)
        what = message_count(number, "new ") if number else "No new mail"
        big = sum(len(one.too_big) for one in results)
        self._screen.show_status(f"{what}.{f' {message_count(big)} too large, left on the server.' if big else ''}")
        for one in results:
            if one.problem is not None:
                self._screen.show_status(f"{one.account}: {problem_text(one.problem, one.advice)}", error=True)
