"""Verb `snooze`: put messages out of sight until a moment."""

from __future__ import annotations

from datetime import datetime

import click

from emailsys.cli.mail.arguments import keys_argument, messages_of
from emailsys.cli.mail.outgoing import MOMENT
from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import as_json
from emailsys.client.compose.moments import EXAMPLES


@click.command()
@keys_argument
@click.option("--until", type=MOMENT, required=True, metavar="WHEN", help=f"When to bring them back: {EXAMPLES}.")
@as_json
@pass_session
def snooze(session: Session, keys: tuple[str, ...], until: datetime, as_json: bool) -> None:
    """Move messages to the folder Snoozed. When their time has come, they go back where they were, as unread.

    The full screen and `emailsys mail fetch` bring them back. To have one back at once, move it.

    \b
    emailsys mail snooze KEY --until "monday 9:00"
    emailsys mail snooze KEY KEY --until +3h
    emailsys mail move KEY --to Inbox
    """
    from emailsys.client.archive.snooze import snooze
    from emailsys.client.display.list_text import message_count

    found = messages_of(session, keys)
    snooze(session.mailbox.archive, found, until)
    if as_json:
        print_json({"keys": [one.key for one in found], "until": until.isoformat()})
    tell(f"{message_count(len(found))} snoozed until {until:%Y-%m-%d %H:%M}.")
