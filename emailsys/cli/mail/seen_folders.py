"""Option --from: the folder in which the user saw the messages that a verb moves or deletes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from emailsys.cli.mail.arguments import folder_name_of, folder_of, messages_of
from emailsys.cli.mail.completions import complete_folders
from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.session import Session
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.archive.values import Summary

seen_in_option = click.option(
    "--from",
    "seen_in",
    metavar="FOLDER",
    shell_complete=complete_folders,
    help="Only messages in this folder: its name, or ACCOUNT/NAME. Others stay where they are.",
)


def messages_in(session: Session, keys: Sequence[str], seen_in: str | None) -> tuple[list[Summary], list[Summary]]:
    """Return the messages with these keys that the user saw in a folder, and those that are in another folder.

    In the mail shell, messages of the last list are returned as the list showed them.

    @param seen_in: the value of --from; None for messages in any folder.
    @raise NoSuchMessage: as `messages_of`.
    @raise NoSuchFolder: there is no such folder.
    """
    listed = {one.key: one for one in session.numbered or ()}
    found = [listed.get(one.key, one) for one in messages_of(session, keys)]
    if seen_in is None:
        return found, []
    if "/" in seen_in:
        folder = folder_of(session, seen_in, None)
        inside = [one for one in found if one.folder == folder]
    else:
        name = folder_name_of(session, seen_in)
        inside = [one for one in found if one.folder.name == name]
    keys_inside = {one.key for one in inside}
    return inside, [one for one in found if one.key not in keys_inside]


def tell_left(number: int) -> int:
    """Tell the user how many messages stay because they are in another folder. Return the exit status."""
    from emailsys.client.display.list_text import message_count

    if number == 0:
        return Exit.OK
    tell(
        f"{message_count(number)} not changed: now in another folder, or deleted. To see where: emailsys mail show KEY"
    )
    return Exit.FAILED
