"""Verb `sendmail`: send a finished message from standard input, with the options of /usr/sbin/sendmail."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from emailsys.cli.mail.arguments import account_option, people
from emailsys.cli.mail.outgoing import queue_and_send, sending_options
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.mail.address import Address

_LONE_DOT: Final = re.compile(rb"^\.\r?\n", re.M)


def send_ready(
    session: Session,
    account: Account,
    octets: bytes,
    recipients: Sequence[Address],
    from_header: bool,
    reverse_path: str | None,
    dots: bool,
    display_name: str | None = None,
    **send_options: Any,
) -> int:
    """Send a finished message.

    @param from_header: take recipients from its To, Cc and Bcc.
    @param dots: whether a line with a single dot ends the message.
    @param display_name: name for From if the message has no From field.
    """
    from emailsys.client.compose.finished_message import complete_message
    from emailsys.client.mailbox import sender_mailbox
    from emailsys.mail.message.mailboxes import Mailbox

    if dots and (end := _LONE_DOT.search(octets)):
        octets = octets[: end.start()]
    sender = sender_mailbox(account)
    if display_name is not None:
        sender = Mailbox(display_name, sender.address)
    path = _reverse_path(reverse_path)
    message = complete_message(octets, sender, session.mailbox.now(), recipients, from_header, path)
    return queue_and_send(session, account, message, **send_options)


def _reverse_path(text: str | None) -> Address | None:
    """Parse the address of -f."""
    from emailsys.mail.address import AddressSyntaxError, parse

    try:
        return parse(text.strip("<>")) if text is not None else None
    except AddressSyntaxError as error:
        raise Refused(f"-f: {error}", Exit.USAGE) from None


def _notifications(words: str) -> list[str]:
    """Return the notifications of -N, a list with commas (RFC 3461 §4.1)."""
    found = [word.strip().lower() for word in words.split(",")]
    if not set(found) <= {"never", "success", "failure", "delay"} or ("never" in found and len(found) > 1):
        raise Refused(f"-N {words}: use never, or failure, delay and success with commas.", Exit.USAGE)
    return found


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("recipients", nargs=-1)
@click.option("-t", "from_header", is_flag=True, help="Take the recipients from To, Cc and Bcc.")
@click.option("-i", "ignore_dots", is_flag=True, help="A line with a single dot does not end the message. Also: -oi.")
@click.option("-f", "-r", "reverse_path", metavar="ADDRESS", help="Envelope sender, which gets the delivery failures.")
@click.option("-F", "display_name", metavar="NAME", help="Name for From, if the message has no From field.")
@click.option("-N", "dsn", metavar="WORDS", help="Request notifications: failure,delay,success or never.")
@click.option("-o", "set_options", multiple=True, metavar="OPTION", help="Options of sendmail. Only i counts.")
@click.option("-R", "returned", metavar="full|hdrs", help="What notifications return, the message or its header.")
@click.option("-V", "-B", "-L", "-X", "-h", "-O", "ignored", multiple=True, metavar="VALUE", help="Ignored.")
@click.option("-b", "mode", metavar="MODE", help="m for a message (the default), s for SMTP.")
@account_option
@sending_options
@pass_session
def sendmail(
    session: Session,
    recipients: tuple[str, ...],
    from_header: bool,
    ignore_dots: bool,
    reverse_path: str | None,
    display_name: str | None,
    dsn: str | None,
    returned: str | None,
    set_options: tuple[str, ...],
    ignored: tuple[str, ...],
    mode: str | None,
    account: str | None,
    **send_options: Any,
) -> int:
    """Send a message from standard input. The options are those of /usr/sbin/sendmail.

    Its other options (-oem, -odb, -bm, -B8BITMIME) are accepted and ignored. If -f is an address of an
    account, the message is sent with that account. A first line "From " of an mbox file is removed.

    \b
    emailsys mail sendmail -t -i < message.eml
    git config sendemail.sendmailCmd "emailsys mail sendmail -i"
    set sendmail="emailsys mail sendmail -oi"          (in .muttrc)
    """
    if mode not in (None, "m"):
        raise Refused(f"-b{mode} is not supported: this command sends one message (-bm).", Exit.USAGE)
    if dsn is not None:
        send_options["notify"] = (*send_options["notify"], *_notifications(dsn))
    if returned not in (None, "full", "hdrs"):
        raise Refused(f"-R {returned}: use full or hdrs.", Exit.USAGE)
    options = [word for word in recipients if word.startswith("-")]
    addresses = [one.address for one in people("recipient", tuple(word for word in recipients if word not in options))]
    if account is None and reverse_path is not None:
        path = _reverse_path(reverse_path)
        named = session.mailbox.account_with(path) if path is not None else None
        account = named.name if named is not None else None
    owner = session.mailbox.account(account)
    octets = sys.stdin.buffer.read()
    dots = not ignore_dots and "i" not in set_options
    return send_ready(
        session,
        owner,
        octets,
        addresses,
        from_header,
        reverse_path,
        dots,
        display_name=display_name,
        whole_message=returned == "full",
        **send_options,
    )
