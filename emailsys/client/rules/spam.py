"""Spam: the folder that it goes to, and rules for its senders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from emailsys.client.archive.values import OUTBOX, SPAM, ArchiveError, Folder, Summary
from emailsys.mail.address import Address

if TYPE_CHECKING:
    from emailsys.client.accounts.file import AccountsFile
    from emailsys.client.accounts.values import Account
    from emailsys.client.archive.archive import Archive


def move_to_spam(archive: Archive, seen: Sequence[Summary]) -> list[Summary]:
    """Move messages to the folder Spam of their account. Those that have left the folder where they were seen stay.

    @param seen: the messages as the caller saw them.
    @return: the messages that were moved, as they were before.
    @raise ArchiveError: a message is in the outbox.
    """
    if any(one.folder.name == OUTBOX for one in seen):
        raise ArchiveError("Messages in the outbox cannot be moved. Stop them first, which makes them drafts.")
    moved: list[Summary] = []
    for account in dict.fromkeys(one.folder.account for one in seen):
        spam = Folder(account, SPAM)
        spam = archive.alike(spam) or archive.add_folder(spam)
        moved += archive.move_seen([one for one in seen if one.folder.account == account], spam)
    return moved


def spam_senders(octets: bytes, account: Account) -> list[Address]:
    """Return the senders of a message that a rule can be made for.

    An address of the user's own is left out: spam often claims to come from its recipient.
    """
    from emailsys.mail.message.mailboxes import read_mailboxes
    from emailsys.mail.message.mime import parse_header

    found = read_mailboxes(parse_header(octets).text_of("from"))
    return [one.address for one in found if not account.owns(one.address)]


def add_spam_rules(accounts: AccountsFile, account: Account, senders: Iterable[Address]) -> list[str]:
    """File later messages of senders under Spam. Return the addresses that have a new rule."""
    return [str(one) for one in senders if accounts.add_spam_rule(account.name, one)]
