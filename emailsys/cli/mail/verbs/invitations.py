"""Verb that answers invitations."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from emailsys.cli.mail.arguments import key_argument, message_of
from emailsys.cli.mail.outgoing import queue_and_send, sending_options
from emailsys.cli.mail.protected_sending import build_asking
from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit


@click.command()
@key_argument
@click.argument("answer", required=False, type=click.Choice(["accept", "tentative", "decline"]))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--no-encrypt", "in_clear", is_flag=True, help="Send the answer neither signed nor encrypted.")
@sending_options
@pass_session
def invite(
    session: Session, key: str, answer: str | None, yes: bool, in_clear: bool, as_json: bool, **options: Any
) -> int:
    """Answer an invitation: accept, tentative or decline. Without an answer, show the invitation.

    The answer goes to the organiser by mail (iTIP, RFC 5546). You are asked before it is sent. An invitation can be
    answered only if an address of the account is among its attendees. If you have a later update or a cancellation of
    the event, the command says so. The answer is signed and encrypted as the account says.

    \b
    emailsys mail invite KEY
    emailsys mail invite KEY accept
    emailsys mail invite KEY decline --yes
    """
    from emailsys.client.archive.values import Flag
    from emailsys.client.compose.invitation_reply import Answer, draft_of, question, request_of
    from emailsys.client.compose.invitation_versions import notes_about
    from emailsys.client.mailbox import as_usual

    mailbox = session.mailbox
    summary = message_of(session, key)
    account = mailbox.account_for(summary)
    request = request_of(mailbox.archive.octets(summary.key), account.owns)
    notes = notes_about(mailbox.archive, request, summary)
    version = request.version
    if answer is None:
        if as_json:
            known = {"uid": version.uid, "sequence": version.sequence, "title": version.title}
            people = {"organizer": str(request.organizer), "attendee": str(request.attendee)}
            print_json({"key": summary.key, **known, **people, "notes": notes})
            return Exit.OK
        click.echo(f"Invitation: {version.title or '(no title)'}")
        click.echo(f"Organiser: {request.organizer}")
        click.echo(f"Invited: {request.attendee}")
        for note in notes:
            click.echo(note)
        return Exit.OK
    chosen = Answer(answer)
    words = question(request, chosen, notes)
    if not yes:
        if not sys.stdin.isatty():
            raise Refused(f"{words}\nThere is no terminal to answer. To send it all the same: --yes", Exit.USAGE)
        tell(words)
        if not click.confirm("Send the answer?", err=True):
            raise Refused("Nothing was sent.", Exit.FAILED)
    reply = draft_of(request, chosen, account.display_name, mailbox.now())
    message = build_asking(mailbox, account, reply if in_clear else as_usual(account, reply))
    handled = partial(mailbox.mark_handled, summary.key, Flag.ANSWERED)
    return queue_and_send(session, account, message, queued=handled, as_json=as_json, **options)
