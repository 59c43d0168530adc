"""State of one mail transaction: its sender, its recipients, and how its message is read (RFC 5321 §3.3)."""

from __future__ import annotations

from emailsys.mail.envelope import Recipient
from emailsys.mail.reply import Reply
from emailsys.wire.smtp.body import ChunkedMessage, StuffedMessage
from emailsys.wire.smtp.grammar import MailArguments
from emailsys.wire.smtp.order import Stage

_NO_MAIL = MailArguments(None)


class Transaction:
    """One mail transaction, from MAIL to the end of the message.

    The session holds the current one. It replaces it when the message ends, when RSET or EHLO abandons it, and when
    `Session.end_transaction` is called. An ended transaction no longer changes.
    """

    __slots__ = ("_begun", "_routes", "arguments", "body", "recipients", "refusal")

    def __init__(self, arguments: MailArguments | None = None) -> None:
        """@param arguments: the arguments of the accepted MAIL command; None before it."""
        self._begun = arguments is not None
        self.arguments = _NO_MAIL if arguments is None else arguments
        #: The accepted recipients, in the order of their RCPT commands.
        self.recipients: list[Recipient] = []
        self._routes = 0
        #: The reader of the message, None until DATA or the first BDAT.
        self.body: StuffedMessage | ChunkedMessage | None = None
        #: The reply to the end of the message if it is refused; None if it is accepted so far.
        self.refusal: Reply | None = None

    def take(self, recipient: Recipient, most_routes: int) -> bool:
        """Add a recipient. Returns False, and adds none, if all recipients together have more than `most_routes`."""
        routes = self._routes + len(recipient.routes)
        if routes > most_routes:
            return False
        self._routes = routes
        self.recipients.append(recipient)
        return True

    @property
    def stage(self) -> Stage:
        """How far the client has progressed, which decides the commands in order."""
        if not self._begun:
            return Stage.GREETED
        if isinstance(self.body, ChunkedMessage):
            return Stage.CHUNKS
        return Stage.RCPT if self.recipients else Stage.MAIL

    @property
    def in_body(self) -> bool:
        """Whether the next octets belong to the message."""
        body = self.body
        return body is not None and (isinstance(body, StuffedMessage) or body.wanted > 0)
