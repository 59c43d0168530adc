"""Keys that send a message on to others, and that leave a mailing list, each after a question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from emailsys.client.accounts.values import Account
from emailsys.client.archive.values import Flag, Summary
from emailsys.client.compose.mailing_list import ONE_CLICK, Unsubscription
from emailsys.client.compose.resent import resent
from emailsys.client.display.list_text import message_count
from emailsys.client.mailbox import UserMailbox, as_usual, sender_mailbox
from emailsys.client.screen.dialogs import ConfirmDialog
from emailsys.client.screen.opening_actions import OpeningActions
from emailsys.client.screen.outbox_actions import OutboxActions
from emailsys.client.screen.panes import Panes
from emailsys.client.screen.program import MailProgram
from emailsys.client.screen.recipients_dialog import RecipientsDialog
from emailsys.client.text.terminal import safe_line
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes


class SendingOnActions:
    """Sends messages on, and unsubscribes."""

    def __init__(self, mailbox: UserMailbox, screen: Panes, outbox: OutboxActions, opening: OpeningActions) -> None:
        self._mailbox = mailbox
        self._screen = screen
        self._app: MailProgram = screen.mail_app
        self._outbox = outbox
        self._opening = opening

    async def bounce(self, summaries: Sequence[Summary]) -> None:
        """Ask for recipients, and send messages on to them as they were received, with Resent fields on top."""
        subject = safe_line(summaries[0].subject).strip()
        named = f"“{subject}”" if subject else "the message"
        what = named if len(summaries) == 1 else message_count(len(summaries))
        mailbox = self._mailbox
        dialog = RecipientsDialog(
            f"Send {what} on to", mailbox.people, lambda typed: parse_mailboxes(mailbox.contacts.expand(typed))
        )
        to = await self._app.push_screen_wait(dialog)
        if to is None:
            return
        people = ", ".join(safe_line(str(one)) for one in to)
        question = f"Send {what} on to {people}, as it is? An answer goes to the author."
        if not to or not await self._app.push_screen_wait(ConfirmDialog(question, is_risky=True)):
            return
        for one in summaries:
            account = await asyncio.to_thread(self._mailbox.account_for, one)
            await self._send_on(account, one, to)

    async def _send_on(self, account: Account, summary: Summary, to: Sequence[Mailbox]) -> None:
        def put(_ask: bool) -> str:
            mailbox = self._mailbox
            message = resent(mailbox.archive.octets(summary.key), sender_mailbox(account), to, mailbox.now())
            key = mailbox.put(account, message, self._app.hold)
            mailbox.mark_handled(summary.key, Flag.FORWARDED)
            return key

        await self._outbox.put_and_send(account, put, self._app.hold)

    async def unsubscribe(self, summary: Summary) -> None:
        """Leave the mailing list that a message came through, by the method that the list offers, after a question."""
        way = await asyncio.to_thread(self._mailbox.unsubscription, summary)
        if way is None:
            self._screen.show_status("The message names no way to unsubscribe: it has no usable List-Unsubscribe.")
        elif way.page:
            self._screen.show_status("The list offers only a page, on which you unsubscribe yourself.")
            await self._opening.web_page(way.page)
        elif await self._app.push_screen_wait(ConfirmDialog(f"Unsubscribe by {way.question}?", is_risky=True)):
            if way.draft is None:
                self._screen.start_action(lambda: self._post(way))
            else:
                await self._send_request(summary, way)

    async def _post(self, way: Unsubscription) -> None:
        self._screen.show_status(f"Waiting for {way.target} ...")
        answer = await self._app.network.post_form(way.url, ONE_CLICK)
        if isinstance(answer, int) and 200 <= answer < 300:
            self._screen.show_status(f"{way.target} has taken the request to unsubscribe.")
            return
        said = f"answered with the status {answer}" if isinstance(answer, int) else f"did not answer: {answer}"
        self._screen.show_status(f"Not unsubscribed: {way.target} {said}.", error=True)

    async def _send_request(self, summary: Summary, way: Unsubscription) -> None:
        account = await asyncio.to_thread(self._mailbox.account_for, summary)
        assert way.draft is not None
        draft = as_usual(account, way.draft)
        await self._outbox.put_and_send(account, lambda ask: self._mailbox.queue(account, draft, ask=ask))
