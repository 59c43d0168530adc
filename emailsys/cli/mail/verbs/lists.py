"""Verbs that list messages: list, search and thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from emailsys.cli.mail.arguments import (
    account_option,
    all_accounts_option,
    folder_argument,
    folder_of,
    key_argument,
    message_of,
)
from emailsys.cli.mail.safe_output import defect_row, print_json, print_safe_rows, summary_fields, summary_row, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.archive.values import Summary

_limit = click.option(
    "-n", "--limit", type=click.IntRange(1), default=100, show_default=True, help="Maximum number of messages."
)
_keys = click.option("--keys", "only_keys", is_flag=True, help="Print only the keys, one on each line.")


def _print(
    session: Session, found: Sequence[Summary], json: bool, only_keys: bool, empty: str, with_folder: bool
) -> None:
    if json:
        print_json([summary_fields(one) for one in found])
        return
    if only_keys:
        for one in found:
            click.echo(one.key)
        return
    now = session.mailbox.now()
    rows = [_row(session, one, now, with_folder) for one in found]
    if session.numbered is not None:
        session.numbered[:] = found
        rows = [{"no": number, **row} for number, row in enumerate(rows, 1)]
        for row in rows:
            del row["key"]
    print_safe_rows(rows, empty, cut=("folder", "from", "subject", "tags"), spare=("tags", "size", "flags"))


def _row(session: Session, one: Summary, now: datetime, with_folder: bool) -> dict[str, Any]:
    try:
        return summary_row(one, now, with_folder)
    except Exception as error:
        # The other messages of the list can be shown.
        from emailsys.client.archive.unreadable import record

        defect = record(session.mailbox.archive.root, "listing the message", one.key, error)
        return defect_row(one, defect, with_folder)


@click.command("list")
@folder_argument("folder", required=False)
@account_option
@click.option("-u", "--unread", is_flag=True, help="List only unread messages.")
@_limit
@_keys
@as_json
@pass_session
def list_(
    session: Session,
    folder: str | None,
    account: str | None,
    unread: bool,
    limit: int,
    only_keys: bool,
    as_json: bool,
) -> None:
    """List the messages of FOLDER, the newest first. Default: Inbox.

    FOLDER is a name, or ACCOUNT/NAME. The flags are N unread, ! flagged, r answered, f forwarded. (?) before a sender:
    the address is of your own mail system, but the client did not log in there, so anybody may have written the
    message.

    \b
    emailsys mail list
    emailsys mail list work/Sent -n 20
    emailsys mail list --unread --json
    """
    listed = folder_of(session, folder, account)
    archive = session.mailbox.archive
    archive.refresh()
    if unread:
        found = archive.search(f'is:unread folder:"{listed.name}"', listed.account, limit)
    else:
        found = archive.list(listed, limit)
    _print(session, found, as_json, only_keys, f"There are no messages in {listed.account}/{listed.name}.", False)


@click.command()
@click.argument("query", nargs=-1, required=True)
@all_accounts_option
@_limit
@_keys
@as_json
@pass_session
def search(
    session: Session, query: tuple[str, ...], account: str | None, limit: int, only_keys: bool, as_json: bool
) -> None:
    """Search for messages, and list them, the newest first. A message must match every term of QUERY,
    unless OR stands between them.

    Put QUERY into quotes if a term begins with "-".

    \b
    from: to: cc: subject: text: file:     words in that place
    "two words"  -not  start*              a phrase, an excluded word, a prefix
    a OR b  (a OR b) c  NOT (a b)          either, both, neither; from:(alice OR bob)
    has:attachment has:tag tag:NAME        attachments and tags
    is:unread is:flagged is:answered       flags
    before:2026-03 after:2026-03-09        dates; also newer:7d older:1y
    larger:2M smaller:100k                 sizes
    folder:Sent                            a folder; Trash is searched only this way
    \b
    emailsys mail search 'from:alice has:attachment newer:30d'
    emailsys mail search 'from:(alice OR bob) -tag:done'
    emailsys mail search --keys tag:invoice | emailsys mail move - --to Archive
    """
    from emailsys.client.archive.query import unknown_field_warning

    name = session.mailbox.accounts_file.find(account).name if account is not None else None
    text = " ".join(query)
    if not text.strip():
        raise Refused("The search is empty. To list all messages of a folder: emailsys mail list FOLDER", Exit.USAGE)
    found = session.mailbox.archive.search(text, name, limit)
    if warning := unknown_field_warning(text):
        tell(f"Warning: {warning}")
    _print(session, found, as_json, only_keys, "No message matches.", True)


@click.command()
@key_argument
@_keys
@as_json
@pass_session
def thread(session: Session, key: str, only_keys: bool, as_json: bool) -> None:
    """List the conversation that a message belongs to, the oldest first.

    \b
    emailsys mail thread KEY
    emailsys mail thread KEY --keys | emailsys mail move - --to Archive
    """
    found = session.mailbox.archive.thread(message_of(session, key).key)
    _print(session, found, as_json, only_keys, "nothing found", True)
