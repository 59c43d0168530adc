"""Verbs for folders: list, add, rename, remove and empty-trash."""

from __future__ import annotations

import click

from emailsys.cli.command_group import Verbs
from emailsys.cli.mail.arguments import account_option, all_accounts_option, folder_argument, folder_of
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit


@click.group("folder", cls=Verbs)
def folder() -> None:
    """List, add, rename and remove folders; empty Trash.

    \b
    emailsys mail folder list
    emailsys mail folder add Projects
    """


@folder.command("list")
@all_accounts_option
@as_json
@pass_session
def list_(session: Session, account: str | None, as_json: bool) -> None:
    """List folders with their numbers of messages and unread messages. Default: the folders of all accounts.

    \b
    emailsys mail folder list
    emailsys mail folder list -a work --json
    """
    owner = session.mailbox.account(account).name if account is not None else None
    for one in session.mailbox.accounts() if owner is None else []:
        session.mailbox.archive.add_account(one.name)
    rows = [
        {
            "account": count.folder.account,
            "folder": count.folder.name,
            "messages": count.messages,
            "unread": count.unread,
        }
        for count in session.mailbox.archive.folders(owner)
    ]
    if as_json:
        print_json(rows)
    else:
        print_safe_rows(rows, "There is no account yet. Add one: emailsys mail account add you@example.org")


@folder.command("add")
@click.argument("name")
@account_option
@as_json
@pass_session
def add(session: Session, name: str, account: str | None, as_json: bool) -> None:
    """Add a folder to an account: its name, or ACCOUNT/NAME.

    \b
    emailsys mail folder add Projects
    emailsys mail folder add work/Projects
    emailsys mail folder add Projects -a work
    """
    from emailsys.client.archive.values import Folder

    # A name has no slash.
    before, slash, after = name.partition("/")
    if slash and account is None:
        account, name = before, after
    target = Folder(session.mailbox.account(account).name, name)
    target = session.mailbox.archive.add_folder(target)
    if as_json:
        print_json({"account": target.account, "folder": target.name})
    tell(f"The account {target.account} now has the folder {target.name}.")


@folder.command("rename")
@folder_argument("name")
@click.argument("new")
@account_option
@as_json
@pass_session
def rename(session: Session, name: str, new: str, account: str | None, as_json: bool) -> None:
    """Rename a folder that you added.

    \b
    emailsys mail folder rename Projects Plans
    """
    target = folder_of(session, name, account)
    session.mailbox.archive.rename_folder(target, new)
    if as_json:
        print_json({"account": target.account, "folder": new, "was": target.name})
    tell(f"Renamed the folder {target.name} to {new}.")


@folder.command("remove")
@folder_argument("name")
@account_option
@as_json
@pass_session
def remove(session: Session, name: str, account: str | None, as_json: bool) -> None:
    """Remove an empty folder that you added.

    \b
    emailsys mail folder remove Plans
    """
    target = folder_of(session, name, account)
    session.mailbox.archive.remove_folder(target)
    if as_json:
        print_json({"account": target.account, "removed": target.name})
    tell(f"Removed the folder {target.name}.")


@folder.command("empty-trash")
@account_option
@click.option("--days", type=click.IntRange(0), metavar="DAYS", help="Delete only messages older than this.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json
@pass_session
def empty_trash(session: Session, account: str | None, days: int | None, yes: bool, as_json: bool) -> None:
    """Delete the messages in Trash for good.

    \b
    emailsys mail folder empty-trash
    emailsys mail folder empty-trash --days 30 --yes
    """
    from datetime import timedelta

    from emailsys.client.display.list_text import message_count

    owner = session.mailbox.account(account).name
    if not yes and not click.confirm(f"Delete the messages in {owner}/Trash for good?", err=True):
        raise Refused("No message was deleted.", Exit.FAILED)
    before = None if days is None else session.mailbox.now() - timedelta(days=days)
    number = session.mailbox.archive.empty_trash(owner, before)
    if as_json:
        print_json({"account": owner, "gone": number})
    tell(f"{message_count(number)} deleted for good.")
