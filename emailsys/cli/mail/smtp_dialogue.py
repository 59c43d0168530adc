"""SMTP on standard input and output (`sendmail -bs`): each message goes into the outbox and is sent."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from emailsys.cli.mail.outgoing import notices_of
from emailsys.cli.mail.session import Session
from emailsys.mail import reply as replies
from emailsys.mail.envelope import Recipient
from emailsys.mail.reply import Reply
from emailsys.wire.smtp.order import Stage
from emailsys.wire.smtp.server import Session as WireSession
from emailsys.wire.smtp.server_events import Answer, Body, Command, Drop, End

if TYPE_CHECKING:
    from emailsys.client.accounts.values import Account
    from emailsys.client.compose.message_builder import OutgoingMessage
    from emailsys.client.online import MailTransfer
    from emailsys.mail.address import Address

# Octets. A message is kept in memory until it is in the outbox.
_MAX_MESSAGE: Final = 1 << 28
_MAX_RECIPIENTS: Final = 10_000
# Programs on this machine end lines with LF, too. Postfix reads them so.
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_EXTENSIONS: Final = ("PIPELINING", f"SIZE {_MAX_MESSAGE}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "HELP")

Submit = Callable[["Account", "OutgoingMessage"], Awaitable[Reply]]


class SMTPDialogue:
    """One session with a program that wants to send mail. It needs no login: the program runs as the user."""

    def __init__(
        self,
        session: Session,
        account: Account | None,
        submit: Submit,
        read: Callable[[], Awaitable[bytes]],
        write: Callable[[bytes], None],
        in_clear: bool = False,
    ) -> None:
        """
        @param account: sends all messages. If it is None, the account that owns the sender does, or the default one.
        @param submit: puts a message into the outbox and sends it; returns the reply to the end of its data.
        @param read: returns the next octets of the program, nothing at their end.
        @param in_clear: whether messages may be in clear although their account encrypts all messages.
        """
        self._session = session
        self._account = account
        self._submit = submit
        self._read = read
        self._write = write
        self._in_clear = in_clear
        self._wire = WireSession(_MAX_MESSAGE, _MAX_RECIPIENTS)
        self._wire.not_offered = frozenset({"DSN"})
        self._wire.closed = {
            "AUTH": replies.AUTH_NOT_HERE,
            "STARTTLS": replies.TLS_UNAVAILABLE,
            "XPASSWORD": replies.UNKNOWN_COMMAND,
        }
        self._envelope: tuple[Address | None, list[Address]] = (None, [])
        self._pieces: list[bytes] = []

    async def run(self) -> None:
        """Speak until QUIT or the end of the input. An unfinished message is not sent."""
        self._answer(replies.greeting(socket.gethostname()))
        ends_with_cr = False
        while True:
            while (event := self._wire.next_event()) is not None:
                if not await self._act(event):
                    return
            octets = await self._read()
            if not octets:
                return
            first = b"\n" if ends_with_cr and octets.startswith(b"\n") else b""
            ends_with_cr = octets.endswith(b"\r")
            self._wire.feed(first + _BARE_LF.sub(b"\r\n", octets[len(first) :]))

    def _answer(self, reply: Reply) -> None:
        self._write(reply.encode())

    async def _act(self, event: Command | Answer | Drop | Body) -> bool:
        """Answer an event. Return False if the session ends."""
        match event:
            case Answer(reply):
                self._answer(reply)
            case Drop(reply):
                self._answer(reply)
                return False
            case Body(octets, end, refusal):
                self._pieces.append(octets)
                if end is End.MESSAGE:
                    message = b"".join(self._pieces)
                    self._pieces = []
                    self._answer(refusal or await self._send(message))
            case Command("QUIT"):
                self._answer(replies.CLOSING)
                return False
            case Command("BDAT"):
                # Not offered. Where the next command begins is unknown, because line ends are converted.
                self._answer(replies.NOT_IMPLEMENTED)
                return False
            case Command(verb, argument):
                self._answer(self._command(verb, argument))
        return True

    def _command(self, verb: str, argument: Any) -> Reply:
        wire = self._wire
        match verb:
            case "EHLO" | "HELO":
                return replies.hello(socket.gethostname(), _EXTENSIONS if verb == "EHLO" else ())
            case "MAIL":
                wire.begin_transaction(argument)
                self._envelope = (argument.reverse_path, [])
                return replies.SENDER_OK
            case "RCPT":
                if not argument.forward_path.domain:
                    return replies.bad_recipient("the domain is missing")
                wire.transaction.recipients.append(Recipient(argument.forward_path, ()))
                self._envelope[1].append(argument.forward_path)
                return replies.RECIPIENT_OK
            case "DATA":
                if wire.stage is not Stage.RCPT:
                    return replies.NO_RECIPIENTS
                wire.begin_data()
                return replies.SEND_MESSAGE
            case "RSET":
                return replies.FORGOTTEN
            case "VRFY":
                return replies.NOT_VERIFIED
            case "HELP":
                return replies.commands(())
        return replies.NOTHING_DONE

    async def _send(self, octets: bytes) -> Reply:
        from emailsys.client.accounts.values import AccountError, Encrypt
        from emailsys.client.archive.values import ArchiveError
        from emailsys.client.compose.draft import ComposeError
        from emailsys.client.compose.finished_message import check_is_encrypted, complete_message
        from emailsys.client.mailbox import sender_mailbox

        mailbox = self._session.mailbox
        sender, recipients = self._envelope
        try:
            account = self._account
            if account is None:
                account = (mailbox.account_with(sender) if sender is not None else None) or mailbox.account()
            message = complete_message(
                octets, sender_mailbox(account), mailbox.now(), recipients, reverse_path=sender, is_null=sender is None
            )
            if account.encrypt is Encrypt.ALWAYS and not self._in_clear:
                check_is_encrypted(message.octets, account.name)
            answer = await self._submit(account, message)
            self._wire.reset_refusals()
            return answer
        except (AccountError, ComposeError) as error:
            return Reply(554, "5.6.0", str(error))
        except (ArchiveError, OSError) as error:
            return Reply(451, "4.3.0", str(error))


async def submitted(
    session: Session, transfer: MailTransfer | None, account: Account, message: OutgoingMessage, notify: Sequence[str]
) -> Reply:
    """Put a message into the outbox, send it, and return the reply to its end.

    @param transfer: None to leave the message in the outbox.
    """
    key = session.mailbox.put(account, message, 0.0, notices_of(notify))
    if transfer is None:
        return replies.queued(key)
    sent = await transfer.send(account, key)
    if sent.problem is None:
        return replies.queued(key)
    if sent.waits or sent.accepted:
        # A refusal would make the program send the message again, and the outbox has it.
        return Reply(250, "2.0.0", f"queued as {key}, but not sent to all: {sent.problem}")
    return Reply(554, "5.0.0", f"not sent, and kept in the outbox as {key}: {sent.problem}")
