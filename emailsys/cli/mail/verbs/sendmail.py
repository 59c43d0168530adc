"""Verb `sendmail`: send a finished message from standard input, with the options of /usr/sbin/sendmail."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import click

from emailsys.cli.mail.arguments import account_option, people
from emailsys.cli.mail.outgoing import queue_and_send, sending_options
from emailsys.cli.mail.safe_output import tell
from emailsys.cli.mail.session import Session, pass_session
from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.mail.address import Address

# Octets that are read at once.
_READ: Final = 1 << 16
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
    in_clear: bool = False,
    **send_options: Any,
) -> int:
    """Send a finished message.

    @param from_header: take recipients from its To, Cc and Bcc.
    @param dots: whether a line with a single dot ends the message.
    @param display_name: name for From if the message has no From field.
    @param in_clear: whether it may be in clear although the account encrypts all messages.
    """
    from emailsys.client.accounts.values import Encrypt
    from emailsys.client.compose.finished_message import check_is_encrypted, complete_message
    from emailsys.client.mailbox import sender_mailbox
    from emailsys.mail.message.mailboxes import Mailbox

    if dots and (end := _LONE_DOT.search(octets)):
        octets = octets[: end.start()]
    sender = sender_mailbox(account)
    if display_name is not None:
        sender = Mailbox(display_name, sender.address)
    path, is_null = _reverse_path(reverse_path), reverse_path is not None and not reverse_path.strip("<>")
    message = complete_message(octets, sender, session.mailbox.now(), recipients, from_header, path, is_null)
    if account.encrypt is Encrypt.ALWAYS and not in_clear:
        check_is_encrypted(message.octets, account.name)
    return queue_and_send(session, account, message, **send_options)


def _reverse_path(text: str | None) -> Address | None:
    """Parse the address of -f. Return None if there is none, or the null reverse-path."""
    from emailsys.mail.address import AddressSyntaxError, parse

    try:
        return parse(text.strip("<>")) if text is not None and text.strip("<>") else None
    except AddressSyntaxError as error:
        raise Refused(f"-f: {error}", Exit.USAGE) from None


def _notifications(words: str) -> list[str]:
    """Return the notifications of -N, a list with commas (RFC 3461 §4.1)."""
    found = [word.strip().lower() for word in words.split(",")]
    if set(found) <= {"never", "success", "failure", "delay"} and not ("never" in found and len(found) > 1):
        return found
    # As Postfix does: the message is more important.
    tell(f"Warning: -N {words} is ignored. Use never, or failure, delay and success with commas.")
    return []


# What other modes of sendmail are called here.
_OTHER_MODES: Final = {
    "p": "To list the outbox: emailsys mail outbox list",
    "d": "To send the outbox now and then: emailsys mail outbox send --watch",
}


def _check_mode(mode: str | None, queue: str | None) -> None:
    """Refuse the modes of sendmail that do not send a message."""
    if queue is not None:
        raise Refused("-q is not supported. To send the outbox: emailsys mail outbox send", Exit.USAGE)
    if mode not in (None, "m", "s"):
        hint = _OTHER_MODES.get(mode, "This command sends one message (-bm) or speaks SMTP (-bs).")
        raise Refused(f"-b{mode} is not supported. {hint}", Exit.USAGE)


def _speak_smtp(session: Session, account: Account | None, notify: Sequence[str], later: bool, in_clear: bool) -> int:
    """Speak SMTP on standard input and output."""
    from emailsys.cli.mail.smtp_dialogue import SMTPDialogue, submitted

    def read() -> bytes:
        return cast(io.BufferedReader, sys.stdin.buffer).read1(_READ)

    def write(octets: bytes) -> None:
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()

    async def work(reactor: Any) -> int:
        from emailsys.client.base.threads import threads_of
        from emailsys.client.online import MailTransfer

        # Standard input is the dialogue: nobody can be asked for a password.
        transfer = None if later else MailTransfer(session.mailbox, reactor)
        in_thread = threads_of(reactor)
        dialogue = SMTPDialogue(
            session,
            account,
            lambda owner, message: submitted(session, transfer, owner, message, notify),
            lambda: in_thread(read),
            write,
            in_clear,
        )
        try:
            await dialogue.run()
        finally:
            if transfer is not None:
                await transfer.close()
        return Exit.OK

    return session.run(work)


@click.command()
@click.argument("recipients", nargs=-1)
@click.option("-t", "from_header", is_flag=True, help="Take the recipients from To, Cc and Bcc.")
@click.option("-i", "ignore_dots", is_flag=True, help="A line with a single dot does not end the message. Also: -oi.")
@click.option("-f", "-r", "reverse_path", metavar="ADDRESS", help="Envelope sender, which gets the delivery failures.")
@click.option("-F", "display_name", metavar="NAME", help="Name for From, if the message has no From field.")
@click.option("-N", "dsn", metavar="WORDS", help="Request notifications: failure,delay,success or never.")
@click.option("-o", "set_options", multiple=True, metavar="OPTION", help="Options of sendmail. Only i has an effect.")
@click.option("-R", "returned", metavar="full|hdrs", help="What notifications return, the message or its header.")
@click.option("-A", "-B", "-C", "-L", "-O", "-V", "-X", "-e", "-h", "-p", "ignored", multiple=True, metavar="VALUE",
              help="Ignored.")  # fmt: skip
@click.option("-G", "-U", "-c", "-m", "-n", "-v", "-x", "ignored_flag", is_flag=True, help="Ignored.")
@click.option("-b", "mode", metavar="MODE", help="m for a message (the default), s for SMTP on standard input.")
@click.option(
    "-q", "queue", metavar="VALUE", help="Refused: use emailsys mail outbox send", is_flag=False, flag_value=""
)
@click.option("--no-encrypt", "in_clear", is_flag=True, help="Send it in clear although the account encrypts all mail.")
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
    ignored_flag: bool,
    mode: str | None,
    queue: str | None,
    account: str | None,
    in_clear: bool,
    **send_options: Any,
) -> int:
    """Send a message from standard input. The options are those of /usr/sbin/sendmail.

    The other options that Postfix accepts (-oem, -odb, -bm, -B8BITMIME) are ignored. If -f is an address of
    an account, the message is sent with that account. A first line "From " of an mbox file is removed.

    If the account encrypts all messages (encrypt = "always"), only encrypted messages are sent.
    With --no-encrypt, any message is sent.

    With -bs, it speaks SMTP on standard input and output, and sends each message when its data ends. If a
    message cannot be sent now, it waits in the outbox. The reply is 250 and says so.

    \b
    emailsys mail sendmail -t -i < message.eml
    git config sendemail.sendmailCmd "emailsys mail sendmail -i"
    set sendmail="emailsys mail sendmail -oi"          (in .muttrc)
    sendmail-path=/usr/bin/emailsys mail sendmail -bs  (in .pinerc, for alpine)
    """
    _check_mode(mode, queue)
    if dsn is not None:
        send_options["notify"] = (*send_options["notify"], *_notifications(dsn))
    if returned not in (None, "full", "hdrs"):
        tell(f"Warning: -R {returned} is ignored. Use full or hdrs.")
    if mode == "s":
        if recipients:
            raise Refused("-bs takes no recipients: SMTP names them.", Exit.USAGE)
        if send_options["hold"] or send_options["at"] is not None:
            raise Refused("-bs takes neither --hold nor --at.", Exit.USAGE)
        owner = session.mailbox.account(account) if account is not None else None
        return _speak_smtp(session, owner, send_options["notify"], send_options["later"], in_clear)
    addresses = [one.address for one in people("recipient", recipients)]
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
        in_clear=in_clear,
        whole_message=returned == "full",
        **send_options,
    )
