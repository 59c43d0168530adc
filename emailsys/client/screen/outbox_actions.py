"""Outbox actions of the full screen: write, reply, forward, send, and stop messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from emailsys.client.accounts.values import Account, AccountError
from emailsys.client.archive.values import ArchiveError, Flag, NoSuchMessage, Summary
from emailsys.client.base.process_lock import LockTaken
from emailsys.client.compose.draft import ComposeError, Draft, PassphraseNeeded
from emailsys.client.display.problem_text import problem_text
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import ConfirmDialog
from emailsys.client.screen.own_terminal import with_terminal
from emailsys.client.screen.panes import Panes
from emailsys.client.screen.program import MailProgram
from emailsys.client.text.terminal import safe_line
from emailsys.mail.message.mailboxes import Mailbox

if TYPE_CHECKING:
    from emailsys.client.send.sender import SendProgress, SendResult


class OutboxActions:
    """Writes and sends messages. The coroutines run in workers of the main screen."""

    def __init__(self, mailbox: UserMailbox, app: MailProgram, screen: Panes) -> None:
        self._mailbox = mailbox
        self._app = app
        self._screen = screen
        self._is_sending_scheduled = False
        # The messages on hold or being sent, the newest last, and the time of the event loop when each hold ends.
        self._unsent: dict[str, float] = {}
        self._flushing = 0
        # Set whenever the outcome of a message is known.
        self._outcome = asyncio.Event()
        #: Counts the messages that were not sent.
        self.failures = 0
        app.is_transmitting = lambda: self.is_transmitting

    def _held(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        return [key for key, end in self._unsent.items() if now < end]

    @property
    def is_holding(self) -> bool:
        """Whether a message is on hold, of which nothing has been sent."""
        return bool(self._held())

    @property
    def is_transmitting(self) -> bool:
        """Whether messages are being sent that are not on hold."""
        return self._flushing > 0 or len(self._unsent) > len(self._held())

    async def wait_until_sent(self) -> None:
        """Wait for the outcomes of all messages that are being sent, but not for those on hold."""
        while self.is_transmitting:
            self._outcome.clear()
            await self._outcome.wait()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.failures += 1
            raise
        finally:
            self._outcome.set()

    async def compose(self, to: Sequence[Mailbox] = ()) -> None:
        """Write a new message. @param to: its recipients."""
        account = await asyncio.to_thread(self._account, self._screen.account_name)
        draft = self._mailbox.blank(account)
        draft.to = [*to]
        self._mailbox.sign(account, draft)
        await self._write(account, draft)

    async def compose_to(self, summary: Summary, link: str) -> None:
        """Write the message that a mailto: link in a message asks for, from the account of that message."""
        account = await asyncio.to_thread(self._mailbox.account_for, summary)
        try:
            draft = await asyncio.to_thread(self._mailbox.letter, account, link)
        except ComposeError as error:
            self._screen.show_status(str(error), error=True)
            return
        self._mailbox.sign(account, draft)
        await self._write(account, draft)

    async def answer(self, summary: Summary, reply_to: str) -> None:
        """Write a reply. @param reply_to: sender, all or list."""
        try:
            draft = await asyncio.to_thread(self._mailbox.reply, summary, reply_to)
        except ComposeError as error:
            self._screen.show_status(str(error), error=True)
            return
        account = self._mailbox.account_for(summary)
        self._mailbox.sign(account, draft)
        await self._write(account, draft, origins=[summary.key], flag=Flag.ANSWERED)

    async def forward(self, summaries: Sequence[Summary]) -> None:
        """Forward messages as attachments of one new message."""
        drafts = await asyncio.to_thread(lambda: [self._mailbox.forward(one) for one in summaries])
        draft = drafts[0]
        draft.attachments = [file for one in drafts for file in one.attachments]
        keys = [one.key for one in summaries]
        account = self._mailbox.account_for(summaries[0])
        self._mailbox.sign(account, draft)
        await self._write(account, draft, origins=keys, flag=Flag.FORWARDED)

    async def edit(self, summary: Summary) -> None:
        """Continue a draft, or write a new message from any other one."""
        try:
            try:
                draft = await asyncio.to_thread(self._mailbox.open_draft, summary.key)
            except PassphraseNeeded:
                draft = await with_terminal(self._app, lambda: self._mailbox.open_draft(summary.key, ask=True))
        except ComposeError as error:
            self._screen.show_status(str(error), error=True)
            return
        key = summary.key if self._mailbox.is_draft(summary) else None
        await self._write(self._mailbox.account_for(summary), draft, key)

    def _account(self, name: str | None) -> Account:
        accounts = self._mailbox.accounts_file.load()
        return self._mailbox.account(name if name in accounts else None)

    async def _write(
        self,
        account: Account,
        draft: Draft,
        key: str | None = None,
        origins: Sequence[str] = (),
        flag: Flag = Flag.NONE,
    ) -> None:
        # The first picture comes sooner without the composer.
        from emailsys.client.screen.composer import Composer

        accounts = await asyncio.to_thread(self._mailbox.accounts)
        written = await self._app.push_screen_wait(Composer(self._mailbox, accounts, account, draft, key))
        if written is None:
            await self._screen.reload()
            return
        chosen, draft, draft_key, at = written

        def put(ask: bool = False) -> tuple[str, str]:
            queued = self._mailbox.queue(chosen, draft, self._app.hold, ask=ask, at=at)
            problem = self._mailbox.delete_sent_draft(draft_key)
            for origin in origins:
                self._mailbox.mark_handled(origin, flag)
            return queued, problem

        try:
            try:
                queued, problem = await asyncio.to_thread(put)
            except PassphraseNeeded:
                queued, problem = await with_terminal(self._app, lambda: put(ask=True))
        except (ComposeError, ArchiveError) as error:
            self._screen.show_status(f"The message was not sent; it is kept in Drafts. {error}", error=True)
            await self._screen.reload()
            return
        await self._screen.reload()
        if problem:
            self._screen.show_status(problem, error=True)
        if at is not None:
            self._screen.show_status(
                f"The message waits in the outbox until {at.astimezone():%a %Y-%m-%d %H:%M}. d there makes it a draft."
            )
            return
        self._screen.start_action(lambda: self.send(chosen, queued, self._app.hold), "sending")

    async def put_and_send(self, account: Account, put: Callable[[bool], str], hold: float = 0.0) -> None:
        """Put a finished message into the outbox, and send it.

        @param put: returns its key. Its argument is whether the user may be asked for a passphrase. Runs in a thread.
        @param hold: seconds that it is on hold there.
        """
        try:
            key = await asyncio.to_thread(put, False)
        except PassphraseNeeded:
            key = await with_terminal(self._app, lambda: put(True))
        self._screen.start_action(lambda: self.send(account, key, hold), "sending")

    async def send(self, account: Account, key: str, hold: float = 0.0) -> None:
        """Send a message from the outbox. @param hold: seconds that it is on hold there."""
        self._unsent.pop(key, None)
        self._unsent[key] = asyncio.get_running_loop().time() + hold
        if hold:
            self._screen.show_status(
                f"The message is on hold for {hold:g} {'second' if hold == 1 else 'seconds'}. Press z to stop it."
            )
        else:
            self._screen.show_status("Sending ...")
        try:
            with self._counted():
                self._report(await self._app.network.send(account, key, self._progress))
        finally:
            self._unsent.pop(key, None)
            self._screen.progress(None, None)
        await self._screen.reload()

    def _progress(self, progress: SendProgress) -> None:
        self._screen.progress(progress.octets, progress.all_octets)

    def _report(self, sent: SendResult) -> None:
        if sent.by_another:
            self._screen.show_status("Another program has sent the message.")
            return
        if sent.problem is None:
            self._screen.show_status(f"Sent to {', '.join(sent.accepted)}. It can no longer be stopped.")
            return
        stopped = not sent.waits and not sent.refusals and not sent.accepted
        self.failures += not stopped
        words = problem_text(sent.problem, sent.advice)
        if sent.in_doubt:
            words = problem_text(words, "It may have arrived; $ asks before it is sent again.")
        elif sent.waits:
            words = problem_text(words, "The message waits in the outbox; $ tries again.")
        elif not stopped:
            words = problem_text(words, "It stays in the outbox; d makes it a draft.")
        self._screen.show_status(words, error=not stopped)

    async def flush(self) -> None:
        """Send all messages in the outbox that are due, after questions about those that may have arrived."""
        accounts = await asyncio.to_thread(self._mailbox.accounts)
        outbox = self._mailbox.outbox
        for one in await asyncio.to_thread(lambda: outbox.in_doubt([account.name for account in accounts])):
            question = f"{', '.join(one.recipients)}: this message may have arrived. Send it again?"
            if await self._app.push_screen_wait(ConfirmDialog(safe_line(question), is_risky=True)):
                # Another program that is sending it now will tell its outcome, and one that took it out has told it.
                with suppress(LockTaken, NoSuchMessage):
                    await asyncio.to_thread(outbox.retry, one.key)
        self._screen.start_action(lambda: self._send_due(accounts), "sending")

    async def _send_due(self, accounts: Sequence[Account]) -> None:
        self._screen.show_status("Sending the messages in the outbox ...")
        self._flushing += 1
        try:
            with self._counted():
                results = await self._app.network.flush(accounts)
                if not results:
                    self._screen.show_status("No message is waiting to be sent.")
                for sent in results:
                    self._report(sent)
        finally:
            self._flushing -= 1
        await self._screen.reload()

    async def send_scheduled(self) -> None:
        """Send the messages whose time, which the user named, has come. Each is tried once; then $ tries again."""
        if self._is_sending_scheduled:
            return
        self._is_sending_scheduled = True
        try:
            accounts = {one.name: one for one in await asyncio.to_thread(self._mailbox.accounts)}
            for one in await asyncio.to_thread(self._mailbox.outbox.scheduled, list(accounts)):
                await self.send(accounts[one.account], one.key)
        finally:
            self._is_sending_scheduled = False

    async def stop(self, key: str | None = None) -> None:
        """Stop a message and move it to Drafts.

        @param key: None for the newest message on hold, or else for the newest that is being sent.
        """
        wanted = key or next(iter([*reversed(self._held()), *reversed(self._unsent)]), None)
        if wanted is None:
            self._screen.show_status("No message is on hold.")
            return
        try:
            stopped = await asyncio.to_thread(self._mailbox.outbox.stop, wanted)
        except (ArchiveError, AccountError) as error:
            self._screen.show_status(str(error), error=True)
            return
        if stopped.stopped:
            self._unsent.pop(wanted, None)
        self._screen.show_status(stopped.words, error=not stopped.stopped)
        await self._screen.reload()
