"""Verb `unsubscribe`: leave the mailing list that a message came through."""

from __future__ import annotations

import sys
from typing import Any

import click

from emailsys.cli.mail.arguments import key_argument, message_of
from emailsys.cli.mail.outgoing import queue_and_send
from emailsys.cli.mail.protected_sending import build_asking
from emailsys.cli.mail.safe_output import print_json, tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused, as_json
from emailsys.config.exit_status import Exit


@click.command()
@key_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-encrypt", "in_clear", is_flag=True, help="Send the message neither signed nor encrypted.")
@as_json
@pass_session
def unsubscribe(session: Session, key: str, yes: bool, in_clear: bool, as_json: bool) -> int:
    """Leave the mailing list that a message came through, by the method that the list offers.

    The method is one HTTPS request (RFC 8058), a message, or a page that you open yourself. The command shows the host
    or the whole message and asks first, because the sender learns that your address is read. If you never subscribed,
    mark the message as spam instead. A message is signed and encrypted as the account says.

    \b
    emailsys mail unsubscribe KEY
    """
    from emailsys.client.base.https import post_form
    from emailsys.client.compose.mailing_list import ONE_CLICK
    from emailsys.client.mailbox import as_usual

    summary = message_of(session, key)
    way = session.mailbox.unsubscription(summary)
    if way is None:
        raise Refused("The message names no way to unsubscribe: it has no usable List-Unsubscribe.", Exit.DATA)
    if way.page:
        if as_json:
            print_json({"key": summary.key, "unsubscribed": False, "page": way.page})
        tell(f"The list offers only a page. To unsubscribe, open it in a browser: {way.target}")
        return Exit.UNAVAILABLE
    if not yes:
        if not sys.stdin.isatty():
            raise Refused(f"To unsubscribe by {way.question} without being asked, add --yes.", Exit.USAGE)
        if not click.confirm(f"Unsubscribe by {way.question}?", default=False, err=True):
            return Exit.FAILED
    if way.draft is not None:
        account = session.mailbox.account_for(summary)
        draft = way.draft if in_clear else as_usual(account, way.draft)
        return queue_and_send(session, account, build_asking(session.mailbox, account, draft), as_json=as_json)

    async def work(reactor: Any) -> int | str:
        return await post_form(reactor, way.url, ONE_CLICK)

    answer = session.run(work)
    is_done = isinstance(answer, int) and 200 <= answer < 300
    if as_json:
        print_json({"key": summary.key, "unsubscribed": is_done, "host": way.target, "answer": answer})
    if is_done:
        tell(f"{way.target} has taken the request.")
        return Exit.OK
    said = f"answered with the status {answer}" if isinstance(answer, int) else f"did not answer: {answer}"
    tell(f"Not unsubscribed: {way.target} {said}.")
    return Exit.UNAVAILABLE
