"""Shell completion of the mail verbs: accounts, folders, people, messages, tags and searches."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from emailsys.client.contacts.book import Contact
    from emailsys.mail.message.mailboxes import Mailbox

# Maximum number of addresses, and of messages, that shell completion offers.
_OFFERED: Final = 20
#: Values of the search fields that have few.
VALUES: Final = {
    "has": ("attachment", "tag"),
    "is": ("unread", "read", "flagged", "answered", "forwarded", "trash"),
    **dict.fromkeys(("before", "after"), ("today", "yesterday")),
    **dict.fromkeys(("newer", "older"), ("7d", "30d", "1y")),
    **dict.fromkeys(("larger", "smaller"), ("100k", "1M", "10M")),
}


def complete_accounts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the names of accounts."""
    from emailsys.client.accounts.file import AccountsFile
    from emailsys.client.base.locations import accounts_file

    try:
        names = list(AccountsFile(accounts_file()).load())
    except Exception:  # a completion that fails completes nothing
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_templates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the names of templates."""
    from emailsys.client.base.locations import accounts_file
    from emailsys.client.compose.templates import Templates

    try:
        names = Templates(accounts_file().with_name("templates")).names()
    except Exception:  # a completion that fails completes nothing
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the names of folders of all accounts."""
    from emailsys.client.base.locations import archive_folder

    try:
        names = {path.name for path in archive_folder().glob("*/*") if path.is_dir() and not path.name.startswith(".")}
    except OSError:
        return []
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def complete_people(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete addresses from the archive's index. The index is opened read-only, so that a fetch cannot delay it."""
    from emailsys.client.archive.archive import INDEX
    from emailsys.client.archive.people import find_in_file
    from emailsys.client.base.locations import archive_folder, contacts_file
    from emailsys.client.compose.completion import last_address_start
    from emailsys.client.contacts.book import ContactBook
    from emailsys.client.text.terminal import safe_line

    begin = last_address_start(incomplete)
    contacts: list[Contact] = []
    found: Sequence[Mailbox] = ()
    # A completion that fails completes nothing.
    with suppress(Exception):
        contacts = ContactBook(contacts_file()).find(incomplete[begin:])
    with suppress(Exception):
        found = find_in_file(archive_folder() / INDEX, incomplete[begin:], _OFFERED)
    return [CompletionItem(f"{incomplete[:begin]}{one.short_name}", help=one.name) for one in contacts] + [
        CompletionItem(f"{incomplete[:begin]}{one.address}", help=safe_line(one.name))
        for one in found
        # The shell prints the address, so it must be safe for a terminal.
        if safe_line(str(one.address)) == str(one.address)
    ]


def complete_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete keys of messages, the newest first; zsh shows sender and subject."""
    from emailsys.client.archive.archive import INDEX
    from emailsys.client.archive.completions import keys_in_file
    from emailsys.client.base.locations import archive_folder
    from emailsys.client.display.list_text import SHORT_KEY
    from emailsys.client.text.terminal import safe_line

    with suppress(Exception):
        return [
            CompletionItem(key[: max(SHORT_KEY, len(incomplete))], help=safe_line(f"{sender}: {subject}"))
            for key, sender, subject in keys_in_file(archive_folder() / INDEX, incomplete, _OFFERED)
        ]
    return []


def _tags() -> Sequence[str]:
    from emailsys.client.archive.archive import INDEX
    from emailsys.client.archive.completions import tags_in_file
    from emailsys.client.base.locations import archive_folder
    from emailsys.client.text.terminal import safe_line

    with suppress(Exception):
        return [tag for tag in tags_in_file(archive_folder() / INDEX) if safe_line(tag) == tag]
    return ()


def complete_tagging(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete `+TAG`, `-TAG` and the keys of messages."""
    if incomplete[:1] in ("+", "-"):
        words = [f"{incomplete[0]}{tag}" for tag in _tags()]
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]
    return complete_keys(ctx, param, incomplete)


def complete_search(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a term of a search: the names of fields, and the values of most."""
    from emailsys.client.archive.query import FIELDS

    sign = "-" if incomplete.startswith("-") else ""
    name, colon, typed = incomplete.removeprefix(sign).partition(":")
    if not colon:
        return [CompletionItem(f"{sign}{field}:") for field in FIELDS if field.startswith(name)]
    begin = f"{sign}{name}:"
    match name.lower():
        case "tag":
            found = [CompletionItem(tag) for tag in _tags() if tag.startswith(typed)]
        case "folder" | "in":
            found = complete_folders(ctx, param, typed.lstrip('"'))
        case "account":
            found = complete_accounts(ctx, param, typed)
        case "from" | "to" | "cc":
            found = complete_people(ctx, param, typed)
        case other:
            found = [CompletionItem(value) for value in VALUES.get(other, ()) if value.startswith(typed)]
    return [
        CompletionItem(f'{begin}"{one.value}"' if " " in one.value else f"{begin}{one.value}", help=one.help)
        for one in found
    ]
