"""Invitation actions of the full screen: accept, accept as tentative, or decline, after a question."""

from __future__ import annotations

import asyncio

from emailsys.client.archive.values import Flag, Summary
from emailsys.client.compose.invitation_reply import Answer, draft_of, question, request_of
from emailsys.client.compose.invitation_versions import notes_about
from emailsys.client.mailbox import UserMailbox, as_usual
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog
from emailsys.client.screen.outbox_actions import OutboxActions
from emailsys.client.screen.panes import Panes


class InvitationActions:
    """Answers invitations. Nothing is answered without the user."""

    def __init__(self, mailbox: UserMailbox, screen: Panes, outbox: OutboxActions) -> None:
        self._mailbox = mailbox
        self._screen = screen
        self._outbox = outbox

    async def answer(self, summary: Summary) -> None:
        """Let the user choose an answer to the invitation, ask, and send it."""
        mailbox, app = self._mailbox, self._screen.app
        account = await asyncio.to_thread(mailbox.account_for, summary)
        octets = await asyncio.to_thread(mailbox.archive.octets, summary.key)
        request = await asyncio.to_thread(request_of, octets, account.owns)
        notes = await asyncio.to_thread(notes_about, mailbox.archive, request, summary)
        choices = ["Accept", "Accept as tentative", "Decline"]
        title = f"Answer to “{request.version.title}”"
        number = await app.push_screen_wait(ChoiceDialog(title, choices, " ".join(notes)))
        if number is None:
            return
        answer = list(Answer)[number]
        if not await app.push_screen_wait(ConfirmDialog(question(request, answer, notes), is_risky=True)):
            return

        def put(ask: bool) -> str:
            draft = as_usual(account, draft_of(request, answer, account.display_name, mailbox.now()))
            key = mailbox.queue(account, draft, ask=ask)
            mailbox.mark_handled(summary.key, Flag.ANSWERED)
            return key

        await self._outbox.put_and_send(account, put)
