"""Protection line of the composer: whether the message will be signed and encrypted, and the keys of recipients."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from rich.text import Text
from textual.app import App
from textual.widgets import Static

from emailsys.client.accounts.values import Account
from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.protection_words import protection_words
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import ConfirmDialog
from emailsys.client.screen.survival import Surviving
from emailsys.client.text.terminal import safe_line


class ProtectionLine(Surviving, Static):
    """Shows what will be done with the message. Hidden if it is to be neither signed nor encrypted."""

    def __init__(self) -> None:
        super().__init__("", markup=False, id="protection")
        self.display = False

    def start(self, mailbox: UserMailbox, account: Account, draft: Draft) -> None:
        """Look the keys up, and show them."""
        self.display = bool(protection_words(draft))
        if self.display:
            look_up = self.guarded(partial(self._look_up, mailbox, account, draft))
            self.run_worker(look_up, exclusive=True, group="plan")

    async def _look_up(self, mailbox: UserMailbox, account: Account, draft: Draft) -> None:
        plan = await asyncio.to_thread(mailbox.plan, account, draft)
        # The words name the recipients that have no key.
        is_told = any(not one.is_usable for one in plan.recipients)
        words = safe_line(f"OpenPGP: {plan.words}. {'' if is_told else plan.problem}")
        self.update(Text(words, "bold red" if plan.problem else ""))


async def may_send(app: App[Any], mailbox: UserMailbox, account: Account, draft: Draft) -> bool:
    """Whether a message may be sent, after a question about keys that are not certified.

    @raise ComposeError: it cannot be protected as it should be.
    """
    if not protection_words(draft):
        return True
    plan = await asyncio.to_thread(mailbox.plan, account, draft)
    if plan.problem:
        raise ComposeError(plan.problem)
    waiting = plan.not_certified(draft.accepted_keys)
    if not waiting:
        return True
    names = ", ".join(f"{one.address} (key {one.fingerprint})" for one in waiting)
    question = f"You have not certified that these keys belong to their addresses: {names}. Encrypt with them?"
    if not await app.push_screen_wait(ConfirmDialog(safe_line(question), is_risky=True)):
        return False
    draft.accepted_keys |= {one.fingerprint for one in waiting}
    return True
