"""The verbs that list messages: of a folder, of a search, of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from emailsys.cli.mail.arguments import account_option, folder_argument, key_argument, message_of, place_of
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, summary_fields, summary_row, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import as_json

if TYPE_CHECKING:
    from emailsys.client.archive.values import Summary

_limit = click.option("-n", "--limit", type=click.IntRange(1), default=100, show_default=True, help="So many at most.")
_keys = click.option("--keys", "only_keys", is_flag=True, help="Print the keys alone, one a line.")


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
    rows = [summary_row(one, now, with_folder) for one in found]
    if session.numbered is not None:
        session.numbered[:] = [one.key for one in found]
        rows = [{"no": number, **row} for number, row in enumerate(rows, 1)]
        for row in rows:
            del row["key"]
    print_safe_rows(rows, empty)


@click.command("list")
@folder_argument("folder", required=False)
@account_option
@click.option("-u", "--unread", is_flag=True, help="Only those that nobody has read.")
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
    """List the messages of FOLDER, the newest first; by default of Inbox.

    FOLDER is a name, or ACCOUNT/NAME. The letters say: N not read, ! flagged, r answered, f forwarded.

    \b
    emailsys mail list
    emailsys mail list work/Sent -n 20
    emailsys mail list --unread --json
    """
    place = place_of(session, folder, account)
    archive = session.mailbox.archive
    archive.refresh()
    if unread:
        found = archive.search(f'is:unread folder:"{place.folder}"', place.account, limit)
    else:
        found = archive.list(place, limit)
    _print(session, found, as_json, only_keys, f"no messages in {place.account}/{place.folder}", False)


@click.command()
@click.argument("query", nargs=-1, required=True)
@account_option
@_limit
@_keys
@as_json
@pass_session
def search(
    session: Session, query: tuple[str, ...], account: str | None, limit: int, only_keys: bool, as_json: bool
) -> None:
    """Find messages, the newest first; all words of QUERY must hold. Put quotes round it where a word begins with "-".

    \b
    from: to: cc: subject: text: file:     words of those places
    "two words"  -not  start*              phrases, what must not be, beginnings
    has:attachment has:tag tag:NAME        what goes with a message
    is:unread is:flagged is:answered       what was done with it
    before:2026-03 after:2026-03-09        dates; newer:7d older:1y
    larger:2M smaller:100k                 sizes
    folder:Sent                            where it lies; Trash is searched only so
    \b
    emailsys mail search 'from:alice has:attachment newer:30d'
    emailsys mail search --keys tag:invoice | emailsys mail move - --to Archive
    """
    from emailsys.client.archive.query import unknown_field_warning

    name = session.mailbox.accounts_file.find(account).name if account is not None else None
    text = " ".join(query)
    found = session.mailbox.archive.search(text, name, limit)
    if warning := unknown_field_warning(text):
        tell(f"warning: {warning}")
    _print(session, found, as_json, only_keys, "nothing found", True)


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
