"""Verb `bounce`: send a message on to others, unchanged."""

from __future__ import annotations

from typing import Any

import click

from emailsys.cli.mail.arguments import account_option, key_argument, message_of, people
from emailsys.cli.mail.completions import complete_people
from emailsys.cli.mail.outgoing import queue_and_send, sending_options
from emailsys.cli.mail.session import Session, pass_session


@click.command()
@key_argument
@click.argument("recipients", nargs=-1, required=True, shell_complete=complete_people)
@account_option
@sending_options
@pass_session
def bounce(session: Session, key: str, recipients: tuple[str, ...], account: str | None, **send_options: Any) -> int:
    """Send a message on to RECIPIENTS as it was received, with Resent-From, Resent-To and Resent-Date on top.

    An answer goes to its author. To add a text of your own, use forward. Some servers, emailsys by default among them,
    accept only messages whose From is an address of the account; they refuse this one.

    \b
    emailsys mail bounce KEY support@example.org
    emailsys mail bounce KEY ann@example.org ben@example.org --at "monday 9:00"
    """
    from emailsys.client.archive.values import Flag
    from emailsys.client.compose.resent import resent
    from emailsys.client.mailbox import sender_mailbox

    mailbox = session.mailbox
    summary = message_of(session, key)
    owner = mailbox.account(account) if account is not None else mailbox.account_for(summary)
    to = people("recipient", recipients)
    message = resent(mailbox.archive.octets(summary.key), sender_mailbox(owner), to, mailbox.now())

    def queued() -> None:
        mailbox.mark_handled(summary.key, Flag.FORWARDED)

    return queue_and_send(session, owner, message, queued=queued, **send_options)
