"""Builds a message for sending: says how it is protected, and asks about keys that are not certified."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from emailsys.cli.mail.safe_output import tell

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.client.compose.draft import Draft
    from emailsys.client.compose.message_builder import OutgoingMessage
    from emailsys.client.mailbox import UserMailbox


def build_asking(mailbox: UserMailbox, account: Account, draft: Draft) -> OutgoingMessage:
    """Build a message as its draft says. Pinentry may ask for the passphrase of the key.

    @raise ComposeError: the draft is incomplete, or cannot be protected as it says. It is never sent in clear instead.
    """
    from emailsys.client.compose.protection_words import protection_words

    if not protection_words(draft):
        return mailbox.build(account, draft)
    from emailsys.client.compose.protection import NotCertified

    try:
        message = mailbox.build(account, draft, ask=True)
    except NotCertified as refused:
        tell(str(refused))
        if not sys.stdin.isatty() or not click.confirm("Encrypt with these keys all the same?", err=True):
            raise
        draft.accepted_keys |= {one.fingerprint for one in refused.keys}
        message = mailbox.build(account, draft, ask=True)
    tell(f"The message is {mailbox.plan(account, draft).words}.")
    return message
