"""What becomes of the mail of an account that is removed."""

from __future__ import annotations

import sys
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
    folders = session.mailbox.archive.folders(account.name)
    return {count.folder.name: count.messages for count in folders if count.messages}


def deletes_mail(session: Session, account: Account, keep: bool | None, yes: bool) -> bool:
    """Decide whether the mail of an account is deleted with it. Asks on a terminal.

    @param keep: what the user chose, or None.
    @param yes: whether the user agrees in advance.
    @raise Refused: the user does not agree.
    """
    from emailsys.client.display.list_text import message_count

    found = _messages(session, account)
    if not found:
        return True
    number = sum(found.values())
    what = f"{message_count(number)} in {', '.join(found)}"
    if keep is None:
        if yes or not sys.stdin.isatty():
            return False
        return click.confirm(f"Delete its mail on this computer too ({what})?", default=False, err=True)
    if not keep and not yes and not click.confirm(f"Delete {what} for good?", default=False, err=True):
        raise Refused("The account was not removed.", Exit.FAILED)
    return not keep


def remove_mail(session: Session, account: Account, deletes: bool) -> Path | None:
    """Delete the mail of a removed account, or return the folder where it stays.

    With the mail, the record of what was fetched goes: a new account of that name fetches everything.
    """
    from emailsys.client.fetch.journal import FetchedIds

    folder = session.mailbox.paths.archive / account.name
    if not deletes:
        return folder if folder.is_dir() else None
    session.mailbox.archive.remove_account(account.name)
    if account.pop3 is not None:
        FetchedIds(session.mailbox.paths.state / "fetched", account.pop3.host, account.pop3.username).remove()
    return None
