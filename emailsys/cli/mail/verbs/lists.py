"""Verbs that list messages: list, search and thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from emailsys.cli.mail.arguments import (
    account_option,
    all_accounts_option,
    folder_argument,
    folder_name_of,
    folder_of,
    key_argument,
    message_of,
)
from emailsys.cli.mail.completions import complete_search
from emailsys.cli.mail.safe_output import defect_row, print_json, print_safe_rows, summary_fields, summary_row, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.cli.output import is_watched
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.archive.listing import Arrangement, Listed
    from emailsys.client.archive.values import Summary

_keys = click.option("--keys", "only_keys", is_flag=True, help="Print only the keys, one on each line.")

_LIST_OPTIONS: Final = (
    click.option(
        "--sort",
        "sort_by",
        type=click.Choice(["date", "from", "subject", "size"]),
        default="date",
        show_default=True,
        help="Order: the newest first, names and subjects from A to Z, or the largest first.",
    ),
    click.option("--reverse", is_flag=True, help="Reverse the order of --sort."),
    click.option("--threads", is_flag=True, help="Show each conversation as a tree."),
    click.option(
        "-n", "--limit", type=click.IntRange(1), default=100, show_default=True, help="Maximum number of messages."
    ),
    _keys,
    as_json,
)


@dataclass(frozen=True)
class _Choices:
    """The options of a list: order, number and form. `limit` is at least 1."""

    sort_by: str
    reverse: bool
    threads: bool
    limit: int
    only_keys: bool
    as_json: bool

    def arrangement(self) -> Arrangement:
        from emailsys.client.archive.listing import Arrangement
        from emailsys.client.archive.sorting import SortBy

        by = SortBy(self.sort_by)
        return Arrangement(by, by.begins_small != self.reverse, self.threads)


def _with_choices(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options that every list has; it takes them as one value, `choices`."""
    names = [field.name for field in fields(_Choices)]

    @wraps(verb)
    def with_choices(**arguments: Any) -> None:
        choices = _Choices(**{name: arguments.pop(name) for name in names})
        verb(choices=choices, **arguments)

    for option in reversed(_LIST_OPTIONS):
        with_choices = option(with_choices)
    return with_choices


def _print(
    session: Session,
    listed: Sequence[Listed],
    choices: _Choices,
    empty: str,
    with_folder: bool,
) -> None:
    found = [one.summary for one in listed]
    if choices.as_json:
        print_json([summary_fields(one.summary) | ({"depth": one.depth} if choices.threads else {}) for one in listed])
        return
    if choices.only_keys:
        for one in found:
            click.echo(one.key)
        return
    from emailsys.client.display.list_text import tree_prefix

    now = session.mailbox.now()
    rows = [_row(session, one, now, with_folder) for one in found]
    for row, line in zip(rows, listed, strict=True):
        row["subject"] = f"{tree_prefix(line.depth)}{row['subject']}"
    if session.numbered is not None:
        session.numbered[:] = found
        rows = [{"no": number, **row} for number, row in enumerate(rows, 1)]
        for row in rows:
            del row["key"]
    print_safe_rows(rows, empty, cut=("folder", "from", "subject", "tags"), spare=("tags", "size", "flags"))


def _tell_limit(listed: Sequence[Listed], choices: _Choices) -> None:
    """Say that keys may be missing: the next verb would act on a part of the messages."""
    from emailsys.client.display.list_text import message_count

    if choices.only_keys and len(listed) == choices.limit:
        tell(f"The list ends at the limit of {message_count(choices.limit)}. To list more: -n NUMBER")


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
@click.option("-A", "--all-accounts", is_flag=True, help="List the folders of that name in all accounts together.")
@click.option("-u", "--unread", is_flag=True, help="List only unread messages.")
@_with_choices
@pass_session
def list_(
    session: Session,
    folder: str | None,
    account: str | None,
    all_accounts: bool,
    unread: bool,
    choices: _Choices,
) -> None:
    """List the messages of FOLDER, the newest first. Default: Inbox.

    FOLDER is a name, or ACCOUNT/NAME. The flags are N unread, ! flagged, r answered, f forwarded. (?) before a sender:
    the address is of your own mail system, but the client did not log in there, so anybody may have written the
    message.

    With --threads, each message is below the one that it answers. A conversation has the place of its newest message
    if the list is sorted by date, or else that of its first message.

    \b
    emailsys mail list
    emailsys mail list work/Sent -n 20
    emailsys mail list --unread --json
    emailsys mail list --all-accounts --threads
    emailsys mail list Archive --sort size
    """
    from emailsys.client.archive.listing import Scope
    from emailsys.client.archive.values import Folder

    archive = session.mailbox.archive
    if all_accounts and account is not None:
        raise Refused("--all-accounts and --account contradict each other. Leave one of them out.", Exit.USAGE)
    archive.refresh()
    if all_accounts:
        owner, name = None, folder_name_of(session, folder)
    else:
        listed = folder_of(session, folder, account)
        owner, name = listed.account, listed.name
    if unread:
        scope = Scope(query=archive.query(f'is:unread folder:"{name}"'), account=owner)
    else:
        scope = Scope(everywhere=name) if owner is None else Scope(folder=Folder(owner, name))
    place = f"{owner or 'any account'}/{name}"
    found = archive.first(scope, choices.arrangement(), choices.limit)
    _print(session, found, choices, f"There are no messages in {place}.", all_accounts)
    _tell_limit(found, choices)


def _saved(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from emailsys.client.archive.saved_searches import SavedSearches
    from emailsys.client.base.locations import archive_folder

    try:
        names = list(SavedSearches(archive_folder()).load())
    except Exception:  # a completion that fails completes nothing
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete) and name.isprintable()]


@click.command()
@click.argument("query", nargs=-1, shell_complete=complete_search)
@click.option(
    "--saved", metavar="NAME", shell_complete=_saved, help="Search with a saved search; QUERY narrows it down."
)
@all_accounts_option
@_with_choices
@pass_session
def search(
    session: Session,
    query: tuple[str, ...],
    saved: str | None,
    account: str | None,
    choices: _Choices,
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
    folder:Sent                            a folder; Trash is searched only with folder:Trash
    \b
    emailsys mail search 'from:alice has:attachment newer:30d'
    emailsys mail search 'from:(alice OR bob) -tag:done'
    emailsys mail search --saved Bills newer:30d
    emailsys mail search is:unread --sort from --threads
    emailsys mail search --keys tag:invoice | emailsys mail move - --to Archive
    """
    from emailsys.client.archive.listing import Scope
    from emailsys.client.archive.query import unknown_field_warning
    from emailsys.client.display.list_text import message_count

    archive = session.mailbox.archive
    name = session.mailbox.accounts_file.find(account).name if account is not None else None
    text = " ".join(query)
    within = session.mailbox.saved_searches.find(saved)[1] if saved is not None else ""
    if not text.strip() and not within.strip():
        raise Refused("The search is empty. To list all messages of a folder: emailsys mail list FOLDER", Exit.USAGE)
    scope = Scope(query=archive.query(within, text), account=name)
    found = archive.first(scope, choices.arrangement(), choices.limit)
    if warning := unknown_field_warning(text):
        tell(f"Warning: {warning}")
    _print(session, found, choices, "No message matches.", True)
    _tell_limit(found, choices)
    if found and is_watched() and not (choices.as_json or choices.only_keys):
        more = "the first ones; -n shows more" if len(found) == choices.limit else "all that match"
        tell(f"{message_count(len(found))}: {more}.")


@click.command()
@key_argument
@_keys
@as_json
@pass_session
def thread(session: Session, key: str, only_keys: bool, as_json: bool) -> None:
    """List the conversation that a message belongs to, each message below the one that it answers.

    The folders of all messages are shown. Answers stand in the order of their dates.

    \b
    emailsys mail thread KEY
    emailsys mail thread KEY --keys | emailsys mail move - --to Archive
    """
    from emailsys.client.archive.listing import Scope

    choices = _Choices("date", reverse=True, threads=True, limit=1_000, only_keys=only_keys, as_json=as_json)
    scope = Scope(conversation=message_of(session, key).thread)
    found = session.mailbox.archive.first(scope, choices.arrangement(), choices.limit)
    _print(session, found, choices, "nothing found", True)
