"""Verb `spam`: move messages to the folder Spam, and optionally all later ones of their senders."""

from __future__ import annotations

from collections.abc import Sequence

import click

from emailsys.cli.mail.arguments import keys_argument
from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.seen_folders import messages_in, seen_in_option, tell_left
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import as_json
from emailsys.client.archive.values import Summary


@click.command()
@keys_argument
@seen_in_option
@click.option("--rule", is_flag=True, help="Also add a rule that files later messages of these senders under Spam.")
@as_json
@pass_session
def spam(session: Session, keys: tuple[str, ...], seen_in: str | None, rule: bool, as_json: bool) -> int:
    """Move messages to the folder Spam of their account.

    Nothing is sent, and no link is opened: the sender learns nothing.

    The exit status is 1 if a message stays where it is, because it is not in the folder of --from.

    \b
    emailsys mail spam KEY
    emailsys mail spam KEY --rule
    """
    from emailsys.client.display.list_text import message_count
    from emailsys.client.rules.spam import move_to_spam

    found, elsewhere = messages_in(session, keys, seen_in)
    # The rules first: if they cannot be changed, nothing is moved, and the verb can be run again.
    added = _add_rules(session, found) if rule else []
    moved = move_to_spam(session.mailbox.archive, found)
    if as_json:
        print_json({"keys": [one.key for one in moved], "rules": added})
    tell(f"{message_count(len(moved))} moved to Spam.")
    for sender in added:
        tell(f"New rule: messages from {sender} go to Spam. The rules are in {session.mailbox.paths.accounts}")
    return tell_left(len(elsewhere) + len(found) - len(moved))


def _add_rules(session: Session, found: Sequence[Summary]) -> list[str]:
    from emailsys.client.rules.spam import add_spam_rules, spam_senders

    mailbox = session.mailbox
    added = []
    for one in found:
        account = mailbox.account_for(one)
        senders = spam_senders(mailbox.archive.octets(one.key), account)
        added += add_spam_rules(mailbox.accounts_file, account, senders)
    return added
