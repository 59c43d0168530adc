"""Arguments and options that the mail verbs share: accounts, folders, messages and recipients."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.mail.completions import complete_accounts, complete_folders, complete_keys
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit
from emailsys.mail.quantities import counted

if TYPE_CHECKING:
    from emailsys.cli.mail.session import Session
    from emailsys.client.accounts.values import Keep
    from emailsys.client.archive.values import Folder, Summary
    from emailsys.mail.message.mailboxes import Mailbox

_NUMBERS: Final = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


account_option = click.option(
    "-a",
    "--account",
    metavar="ACCOUNT",
    shell_complete=complete_accounts,
    help="Account, by name or address. Default: the default account.",
)
all_accounts_option = click.option(
    "-a",
    "--account",
    metavar="ACCOUNT",
    shell_complete=complete_accounts,
    help="Account, by name or address. Default: all accounts.",
)
account_arguments = click.argument("accounts", nargs=-1, shell_complete=complete_accounts)


def folder_argument(name: str, **options: Any) -> Callable[[Any], Any]:
    """Return an argument for a folder: its name, or ACCOUNT/FOLDER."""
    return click.argument(name, shell_complete=complete_folders, **options)


#: The key of one message.
key_argument = click.argument("key", shell_complete=complete_keys)
#: The keys of messages. "-" reads keys from standard input.
keys_argument = click.argument("keys", nargs=-1, required=True, shell_complete=complete_keys)


def folder_of(session: Session, folder: str | None, account: str | None) -> Folder:
    """Find a folder by the name that the user typed: `Sent` or `work/Sent`, in upper or lower case.

    @param folder: None for the current folder of the session.
    @raise NoSuchFolder: the account has no such folder.
    """
    from emailsys.client.archive.values import Folder, NoSuchFolder

    folder = folder if folder is not None else session.folder
    before, slash, after = folder.partition("/")
    if slash and account is None:
        account, folder = before, after
    owner = session.mailbox.account(account).name
    names = [count.folder.name for count in session.mailbox.archive.folders(owner)]
    if folder in names:
        return Folder(owner, folder)
    alike = [name for name in names if name.lower() == folder.lower()]
    if len(alike) == 1:
        return Folder(owner, alike[0])
    raise NoSuchFolder(f"The account {owner} has no folder {folder!r}. It has: {', '.join(names)}")


def folder_name_of(session: Session, folder: str | None) -> str:
    """Find the name of a folder that any account has, by the name that the user typed, in upper or lower case.

    @raise NoSuchFolder: no account has such a folder.
    """
    from emailsys.client.archive.values import NoSuchFolder

    folder = folder if folder is not None else session.folder
    names = dict.fromkeys(count.folder.name for count in session.mailbox.archive.folders())
    alike = [name for name in names if name == folder] or [name for name in names if name.lower() == folder.lower()]
    if len(alike) != 1:
        raise NoSuchFolder(f"There is no folder {folder!r}. There are: {', '.join(names)}")
    return alike[0]


def messages_of(session: Session, keys: Sequence[str]) -> list[Summary]:
    """Return the messages with these keys, each once, in order.

    @raise NoSuchMessage: no message has such a key, or the beginning of a key is ambiguous.
    """
    found = {}
    for word in keys:
        for key in _from_stdin() if word == "-" else _listed(session, word):
            summary = session.mailbox.archive.get(key)
            found[summary.key] = summary
    return list(found.values())


def message_of(session: Session, key: str) -> Summary:
    """Return the message with this key. @raise NoSuchMessage: no message has it, or it is ambiguous."""
    found = messages_of(session, [key])
    if len(found) != 1:
        raise Refused(f"{key} names {len(found)} messages. Name exactly one.", Exit.USAGE)
    return found[0]


def _from_stdin() -> list[str]:
    return [line.split()[0] for line in sys.stdin if line.strip()]


def _listed(session: Session, word: str) -> list[str]:
    """Return the keys for a number or a range of the last list, if lists are numbered; or else the key itself."""
    numbers = _NUMBERS.fullmatch(word)
    if session.numbered is None or numbers is None:
        return [word.lower()]
    first, last = int(numbers[1]), int(numbers[2] or numbers[1])
    if not 1 <= first <= last <= len(session.numbered):
        messages = counted(len(session.numbered), "message")
        raise Refused(
            f"The last list has no number {word}: it has {messages}. To list messages: list",
            Exit.NO_INPUT,
        )
    return [one.key for one in session.numbered[first - 1 : last]]


def keep_of(text: str) -> Keep:
    """Parse --keep: leave, delete, or the number of days that fetched messages stay on the server."""
    from emailsys.client.accounts.values import Keep, KeepKind

    if text in ("leave", "delete"):
        return Keep(KeepKind(text))
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 3650:
        return Keep(KeepKind.DAYS, int(text))
    raise Refused(f"--keep {text!r}: write leave, delete, or a number of days from 1 to 3650", Exit.USAGE)


def people(name: str, texts: tuple[str, ...]) -> list[Mailbox]:
    """Parse the mailboxes of an option. Short names of contacts stand for theirs.

    @param name: the option, for the error message.
    """
    from emailsys.client.base.locations import contacts_file
    from emailsys.client.contacts.book import ContactBook
    from emailsys.mail.address import AddressSyntaxError
    from emailsys.mail.message.mailboxes import parse_mailboxes

    book = ContactBook(contacts_file())
    try:
        return [one for text in texts for one in parse_mailboxes(book.expand(text))]
    except AddressSyntaxError as error:
        raise Refused(f"{name}: {error}", Exit.USAGE) from None
