"""Verbs that mark and move messages: flag, tag, move, delete and undelete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from emailsys.cli.mail.arguments import account_option, folder_of, keys_argument, messages_of
from emailsys.cli.mail.completions import complete_tagging
from emailsys.cli.mail.safe_output import print_json, print_safe_rows, tell
from emailsys.cli.mail.seen_folders import messages_in, seen_in_option, tell_left
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.archive.values import Summary

_FLAGS: Final = ("read", "unread", "flagged", "unflagged", "answered", "unanswered", "forwarded", "unforwarded")


@click.command()
@click.argument("mark", type=click.Choice(_FLAGS))
@keys_argument
@as_json
@pass_session
def flag(session: Session, mark: str, keys: tuple[str, ...], as_json: bool) -> None:
    """Mark messages as read, unread, flagged, unflagged, and so on.

    \b
    emailsys mail flag flagged KEY
    emailsys mail search --keys older:30d is:unread | emailsys mail flag read -
    """
    from emailsys.client.archive.values import Flag
    from emailsys.client.display.list_text import message_count

    name = mark.removeprefix("un")
    chosen = {"read": Flag.SEEN, "flagged": Flag.FLAGGED, "answered": Flag.ANSWERED, "forwarded": Flag.FORWARDED}[name]
    found = [one.key for one in messages_of(session, keys)]
    clear = mark.startswith("un")
    session.mailbox.archive.set_flags(found, remove=chosen) if clear else session.mailbox.archive.set_flags(
        found, add=chosen
    )
    if as_json:
        print_json({"keys": found, "marked": mark})
    tell(f"{message_count(len(found))} marked as {mark}.")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, shell_complete=complete_tagging)
@as_json
@pass_session
def tag(session: Session, words: tuple[str, ...], as_json: bool) -> None:
    """Add tags (+NAME) to messages, or remove them (-NAME). Without arguments, list the tags in use.

    \b
    emailsys mail tag +invoice KEY KEY
    emailsys mail tag -invoice +paid KEY
    emailsys mail tag
    """
    from emailsys.client.display.list_text import message_count

    archive = session.mailbox.archive
    if not words:
        rows = [{"tag": name, "messages": count} for name, count in sorted(archive.tags().items())]
        if as_json:
            print_json(rows)
        else:
            print_safe_rows(rows, "There are no tags yet. Add one: emailsys mail tag +NAME KEY")
        return
    add = [word[1:] for word in words if word.startswith("+")]
    remove = [word[1:] for word in words if word.startswith("-") and word != "-"]
    keys = [word for word in words if word == "-" or not word.startswith(("+", "-"))]
    if not (add or remove) or not keys:
        raise Refused("Name tags, each with + or - before it, and messages: emailsys mail tag +NAME KEY", Exit.USAGE)
    found = [one.key for one in messages_of(session, keys)]
    archive.set_tags(found, add, remove)
    if as_json:
        print_json({"keys": found, "added": add, "removed": remove})
    tell(f"Changed the tags of {message_count(len(found))}.")


@click.command()
@keys_argument
@click.option("--to", "folder", required=True, metavar="FOLDER", help="A folder's name, or ACCOUNT/NAME.")
@seen_in_option
@account_option
@as_json
@pass_session
def move(
    session: Session, keys: tuple[str, ...], folder: str, seen_in: str | None, account: str | None, as_json: bool
) -> int:
    """Move messages to another folder. Default: a folder of the account they are in.

    The exit status is 1 if a message stays where it is, because it is not in the folder of --from.

    \b
    emailsys mail move KEY --to Archive
    emailsys mail move KEY --to work/Projects
    emailsys mail list --keys Inbox | emailsys mail move - --from Inbox --to Archive
    """
    from emailsys.client.archive.values import OUTBOX, Folder
    from emailsys.client.display.list_text import message_count

    found, elsewhere = messages_in(session, keys, seen_in)
    targets: dict[str, Folder] = {}
    for one in found:
        if one.folder.account not in targets:
            owner = account if account is not None or "/" in folder else one.folder.account
            targets[one.folder.account] = folder_of(session, folder, owner)
        if OUTBOX in (one.folder.name, targets[one.folder.account].name):
            raise Refused(
                "Messages cannot be moved into or out of the outbox. To put one in: emailsys mail send --later. "
                "To take one out: emailsys mail outbox stop KEY"
            )
    moved: list[Summary] = []
    for source, target in targets.items():
        moved += session.mailbox.archive.move_seen([one for one in found if one.folder.account == source], target)
    if as_json:
        print_json(_folders(session, [one.key for one in moved]))
    if moved or not elsewhere:
        tell(f"{message_count(len(moved))} moved to {folder}.")
    return tell_left(len(elsewhere) + len(found) - len(moved))


def _folders(session: Session, keys: Sequence[str]) -> list[dict[str, str]]:
    """Return the current folders of messages as JSON fields."""
    folders = [(key, session.mailbox.archive.get(key).folder) for key in keys]
    return [{"key": key, "account": folder.account, "folder": folder.name} for key, folder in folders]


@click.command()
@keys_argument
@seen_in_option
@click.option("--for-good", is_flag=True, help="Delete without Trash. This cannot be undone.")
@as_json
@pass_session
def delete(session: Session, keys: tuple[str, ...], seen_in: str | None, for_good: bool, as_json: bool) -> int:
    """Move messages to Trash, or delete those in Trash for good with --from Trash.

    Without --from, a message that is already in Trash stays there. In the mail shell, messages of a list of Trash are
    deleted for good, after a question.

    The exit status is 1 if a message stays where it is: in Trash, or outside the folder of --from.

    Nothing changes on the server. The setting `keep` of the account decides when mail is deleted there.

    \b
    emailsys mail delete KEY KEY
    emailsys mail search --keys from:shop older:1y | emailsys mail delete -
    emailsys mail list --keys Trash | emailsys mail delete - --from Trash
    """
    from emailsys.client.archive.values import TRASH
    from emailsys.client.display.list_text import message_count

    found, elsewhere = messages_in(session, keys, seen_in)
    already: set[str] = set()
    if seen_in is None and not for_good:
        # In Trash, only what the user has seen there is deleted for good: the first of two `delete KEY` moved it.
        listed = {one.key for one in session.numbered or ()}
        already = {one.key for one in found if one.folder.name == TRASH and one.key not in listed}
        found = [one for one in found if one.key not in already]
    doomed = [one for one in found if for_good or one.folder.name == TRASH]
    if doomed and session.numbered is not None:
        question = f"Delete {message_count(len(doomed))} for good? This cannot be undone."
        if not click.confirm(question, default=False, err=True):
            return Exit.FAILED
    before = session.mailbox.delete(found, for_good)
    gone = [key for key, folder in before if for_good or folder.name == TRASH]
    trashed = [key for key, folder in before if not (for_good or folder.name == TRASH)]
    changed = {key for key, _ in before}
    left = [one.key for one in (*elsewhere, *found) if one.key not in changed]
    if as_json:
        print_json({"trashed": trashed, "gone": gone, "left": [*sorted(already), *left]})
    if trashed:
        tell(f"{message_count(len(trashed))} moved to Trash. To restore: emailsys mail undelete KEY")
    if gone:
        tell(f"{message_count(len(gone))} deleted for good.")
    if already:
        tell(
            f"{message_count(len(already))} in Trash already. To delete for good: emailsys mail delete --from Trash KEY"
        )
    return tell_left(len(left)) or (Exit.FAILED if already else Exit.OK)


@click.command()
@keys_argument
@click.option(
    "--to", "folder", metavar="FOLDER", help="Folder to restore to. Default: the former folder, or else Inbox."
)
@as_json
@pass_session
def undelete(session: Session, keys: tuple[str, ...], folder: str | None, as_json: bool) -> None:
    """Restore messages from Trash, each to its former folder.

    \b
    emailsys mail undelete KEY
    emailsys mail list --keys Trash | emailsys mail undelete - --to Archive
    """
    from emailsys.client.archive.values import TRASH
    from emailsys.client.display.list_text import message_count

    found = messages_of(session, keys)
    for one in found:
        if one.folder.name != TRASH:
            raise Refused(f"{one.key} is in {one.folder.name}, not in Trash. To list Trash: emailsys mail list Trash")
    back = session.mailbox.undelete([one.key for one in found], folder)
    if as_json:
        print_json(_folders(session, [one.key for one in back]))
    counts = Counter(f"{one.folder.account}/{one.folder.name}" for one in back)
    for name, count in counts.items():
        tell(f"{message_count(count)} restored to {name}.")
