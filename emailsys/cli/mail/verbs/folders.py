"""The verbs for folders: list, add, rename, remove, and Trash emptied."""

from __future__ import annotations

import click

from emailsys.cli.command_group import Verbs
from emailsys.cli.mail.arguments import account_option, folder_argument, place_of
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
@account_option
@as_json
@pass_session
def list_(session: Session, account: str | None, as_json: bool) -> None:
    """List the folders of all accounts, or of one, with how many messages they have and how many are unread.

    \b
    emailsys mail folder list
    emailsys mail folder list -a work --json
    """
    owner = session.mailbox.account(account).name if account is not None else None
    for one in session.mailbox.accounts() if owner is None else []:
        session.mailbox.archive.add_account(one.name)
    rows = [
        {
            "account": count.place.account,
            "folder": count.place.folder,
            "messages": count.messages,
            "unread": count.unread,
        }
        for count in session.mailbox.archive.folders(owner)
    ]
    if as_json:
        print_json(rows)
    else:
        print_safe_rows(rows, "no account yet: emailsys mail account add you@example.org")


@folder.command("add")
@click.argument("name")
@account_option
@as_json
@pass_session
def add(session: Session, name: str, account: str | None, as_json: bool) -> None:
    """Make a folder.

    \b
    emailsys mail folder add Projects
    emailsys mail folder add Projects -a work
    """
    from emailsys.client.archive.values import Place

    place = Place(session.mailbox.account(account).name, name)
    session.mailbox.archive.add_folder(place)
    if as_json:
        print_json({"account": place.account, "folder": place.folder})
    tell(f"{place.account} has the folder {name}")


@folder.command("rename")
@folder_argument("name")
@click.argument("new")
@account_option
@as_json
@pass_session
def rename(session: Session, name: str, new: str, account: str | None, as_json: bool) -> None:
    """Rename a folder of one's own.

    \b
    emailsys mail folder rename Projects Plans
    """
    place = place_of(session, name, account)
    session.mailbox.archive.rename_folder(place, new)
    if as_json:
        print_json({"account": place.account, "folder": new, "was": place.folder})
    tell(f"{name} is {new} now")


@folder.command("remove")
@folder_argument("name")
@account_option
@as_json
@pass_session
def remove(session: Session, name: str, account: str | None, as_json: bool) -> None:
    """Remove a folder of one's own, which must be empty.

    \b
    emailsys mail folder remove Plans
    """
    place = place_of(session, name, account)
    session.mailbox.archive.remove_folder(place)
    if as_json:
        print_json({"account": place.account, "removed": place.folder})
    tell(f"{name} is removed")


@folder.command("empty-trash")
@account_option
@click.option("--days", type=click.IntRange(0), help="Only what came more than so many days ago.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@pass_session
def empty_trash(session: Session, account: str | None, days: int | None, yes: bool, as_json: bool) -> None:
    """Remove for good what is in Trash.

    \b
    emailsys mail folder empty-trash
    emailsys mail folder empty-trash --days 30 --yes
    """
    from datetime import timedelta

    from emailsys.client.display.list_text import counted

    owner = session.mailbox.account(account).name
    if not yes and not click.confirm(f"Remove what is in {owner}/Trash for good?", err=True):
        raise Refused("nothing was removed", Exit.FAILED)
    before = None if days is None else session.mailbox.now() - timedelta(days=days)
    number = session.mailbox.archive.empty_trash(owner, before)
    if as_json:
        print_json({"account": owner, "gone": number})
    tell(f"{counted(number)} gone for good")
