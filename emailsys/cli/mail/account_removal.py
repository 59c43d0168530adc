"""Removal of an account: keeps or deletes its mail."""

from __future__ import annotations

import sys
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

import click

from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.cli.mail.session import Session
    from emailsys.client.accounts.values import Account


def _messages(session: Session, account: Account) -> dict[str, int]:
    """Return the folders of an account that have messages, with their numbers."""
    session.mailbox.archive.refresh()
    folders = session.mailbox.archive.folders(account.name)
    return {count.folder.name: count.messages for count in folders if count.messages}


class Fate(Enum):
    """The choices for the mail of a removed account."""

    KEPT = auto()
    DELETED = auto()
    #: There was none: its folders go if they are still empty.
    NONE = auto()


def fate_of_mail(session: Session, account: Account, keep: bool | None, yes: bool) -> Fate:
    """Decide whether the mail of an account is deleted with it. Asks on a terminal.

    @param keep: what the user chose, or None.
    @param yes: whether the user agrees in advance.
    @raise Refused: the user does not agree.
    """
    from emailsys.client.display.list_text import message_count

    found = _messages(session, account)
    if not found:
        return Fate.KEPT if keep else Fate.NONE
    number = sum(found.values())
    what = f"{message_count(number)} in {', '.join(found)}"
    if keep is None:
        if yes or not sys.stdin.isatty():
            return Fate.KEPT
        keep = not click.confirm(f"Delete its mail on this computer too ({what})?", default=False, err=True)
        return Fate.KEPT if keep else Fate.DELETED
    if not keep and not yes and not click.confirm(f"Delete {what} for good?", default=False, err=True):
        raise Refused("The account was not removed.", Exit.FAILED)
    return Fate.KEPT if keep else Fate.DELETED


def remove_mail(session: Session, account: Account, fate: Fate) -> Path | None:
    """Delete the mail of an account, or return the folder where it stays. If it fails, it can be called again.

    With the mail, the record of what was fetched goes: a new account of that name fetches everything.
    """
    from emailsys.client.fetch.journal import FetchedIds

    folder = session.mailbox.paths.archive / account.name
    if fate is not Fate.KEPT:
        session.mailbox.archive.remove_account(account.name, only_empty=fate is Fate.NONE)
    if folder.is_dir():
        return folder
    if account.pop3 is not None:
        FetchedIds(session.mailbox.paths.state / "fetched", account.pop3.host, account.pop3.username).remove()
    return None
