"""The field From of the composer: a list of all addresses of all accounts."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Select

from emailsys.client.accounts.values import Account
from emailsys.client.mailbox import identities
from emailsys.client.text.terminal import safe_line
from emailsys.mail.message.mailboxes import Mailbox


class SenderField(Select[int]):
    """The choices for From: first the draft's own, then each account with each of its addresses."""

    def __init__(self, accounts: Sequence[Account], account: Account, own: Mailbox) -> None:
        """@param own: the sender of the draft."""
        self._senders = [(one, sender) for one in accounts for sender in identities(one)]
        if (account, own) not in self._senders:
            self._senders.insert(0, (account, own))
        self._first = self._senders.index((account, own))
        super().__init__(self._lines(), value=self._first, allow_blank=False, id="from", compact=True)

    def _lines(self) -> list[tuple[Content, int]]:
        return [(Content(safe_line(str(sender))), number) for number, (_, sender) in enumerate(self._senders)]

    @property
    def chosen(self) -> tuple[Account, Mailbox]:
        """The account and the address that are chosen."""
        return self._senders[self.value if isinstance(self.value, int) else self._first]

    def choose(self, sender: Mailbox) -> None:
        """Choose what the user wrote in From with an editor."""
        account, chosen = self.chosen
        if sender == chosen:
            return
        if sender not in [one for _, one in self._senders]:
            self._senders.append((account, sender))
            self.set_options(self._lines())
        self.value = [one for _, one in self._senders].index(sender)
