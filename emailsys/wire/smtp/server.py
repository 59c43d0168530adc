"""An SMTP session as its server sees it: octets become events, in the order and within the limits of RFC 5321."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply
from emailsys.wire.lines import Flaw, LineReader
from emailsys.wire.sasl import (
    MAX_AUTH_LINE,
    MECHANISMS,
    Challenge,
    Exchange,
    Mechanisms,
    SaslCancelled,
    SaslSyntaxError,
    Step,
    exchange_for,
)
from emailsys.wire.smtp.body import ChunkedMessage, StuffedMessage
from emailsys.wire.smtp.grammar import (
    MailArguments,
    parse_bdat,
    parse_hello,
    parse_mail,
    parse_rcpt,
    split_command,
)
from emailsys.wire.smtp.order import NO_ARGUMENT, NOT_IMPLEMENTED, OUT_OF_ORDER, PIPELINED, WEB_METHODS, Stage

# RFC 5321 §4.5.3.1.4, in octets, CRLF included.
MAX_COMMAND_LINE: Final = 512
# What extensions add. MAIL: SIZE 26 (RFC 1870 §3), BODY 17 (RFC 6152 §2), SMTPUTF8 10 (RFC 6531 §3.1), AUTH 500
# (RFC 4954 §3), and by the lengths of their values RET 9 and ENVID 107; RCPT: NOTIFY 29 and ORCPT 507 (RFC 3461 §4).
_LONGER_LINES: Final[Mapping[str, int]] = {
    "MAIL": MAX_COMMAND_LINE + 26 + 17 + 10 + 500 + 9 + 107,
    "RCPT": MAX_COMMAND_LINE + 29 + 507,
    "AUTH": MAX_AUTH_LINE,
}
# How many lines that are no commands, or not in their place, are answered between two transactions.
MAX_BAD_COMMANDS: Final = 20


class Command(NamedTuple):
    """The client asks for this, and may: the verb in upper case, its arguments as the grammar read them."""

    verb: str
    argument: Any


class Answer(NamedTuple):
    """The session itself knows what to reply."""

    reply: Reply


class Drop(NamedTuple):
    """Reply and close the connection: this peer does not speak SMTP, or cannot be followed any more."""

    reply: Reply


class End(enum.Enum):
    """What a piece of body ends."""

    NOTHING = enum.auto()
    CHUNK = enum.auto()
    MESSAGE = enum.auto()


class Body(NamedTuple):
    """A piece of the message. With a refusal the message is to be forgotten; the end of it still comes.

    An empty piece tells that the client still sends what is being dropped.
    """

    octets: bytes
    end: End
    refusal: Reply | None = None


Event = Command | Answer | Drop | Body


class Session:
    """One session. Feed it octets; take its events one at a time, each after the one before was answered.

    What only its user can know is told to it: `mail_taken`, `rcpt_taken`, `refused`, `data_begins`, `transaction_over`,
    `accepted`, `secret_found`, `restart`.
    """

    def __init__(
        self,
        max_message_size: int,
        max_recipients: int,
        max_refusals: int = 100,
        mechanisms: Mechanisms = MECHANISMS,
    ) -> None:
        """
        @param max_message_size: in octets, dots unstuffed.
        @param max_refusals: how many 5xx are answered until a message is accepted; one more ends the session.
        """
        self._lines = LineReader()
        self._max_message_size = max_message_size
        self._max_recipients = max_recipients
        self._max_refusals = max_refusals
        self._mechanisms = mechanisms
        self._parse: Mapping[str, Callable[[bytes], Event]] = {
            "EHLO": self._hello("EHLO"),
            "HELO": self._hello("HELO"),
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "VRFY": self._vrfy,
            "AUTH": self._auth,
        }
        #: Commands that are refused in any case at the moment, with the reply.
        self.closed: dict[str, Reply] = {}
        self.stage = Stage.CONNECTED
        #: Whether the client said EHLO rather than HELO.
        self.extended = False
        self._next: Callable[[], Event | None] = self._next_command
        self._smtputf8 = False
        self._recipients = 0
        self._bad_commands = 0
        self._refusals = 0
        self._left_over = 0
        self._exchange: Exchange | None = None
        self._stuffed: StuffedMessage | None = None
        self._chunked: ChunkedMessage | None = None
        self._chunk_last = False
        self._octets_to_skip = 0
        self._after_skip: Event = Answer(replies.MAIL_FIRST)

    # What its user tells

    @property
    def waiting(self) -> int:
        """Octets fed and not yet taken."""
        return self._lines.waiting

    @property
    def in_body(self) -> bool:
        """Whether octets of a message are what is waited for."""
        return self._stuffed is not None or (self._chunked is not None and self._chunked.wanted > 0)

    def feed(self, octets: bytes) -> None:
        """Take octets from the peer."""
        self._lines.feed(octets)

    def next_event(self) -> Event | None:
        """What the peer asks for next, None until more comes."""
        return self._next()

    def mail_taken(self, arguments: MailArguments) -> None:
        """A transaction has begun."""
        self.stage = Stage.MAIL
        self._bad_commands = 0
        self._smtputf8 = arguments.parameters.smtputf8
        self._recipients = 0

    def rcpt_taken(self) -> None:
        """A recipient was accepted."""
        self.stage = Stage.RCPT
        self._recipients += 1

    def refused(self) -> bool:
        """A sender or recipient was refused for good. Whether that is one too many: who tries names ends here."""
        self._refusals += 1
        return self._refusals > self._max_refusals

    def accepted(self) -> None:
        """A message was accepted: whoever brings mail may err again."""
        self._refusals = 0

    def secret_found(self, secret: str | None) -> None:
        """The answer to `Command("AUTH", NeedsSecret(...))`: the exchange goes on with the next event."""
        exchange = self._exchange
        assert exchange is not None
        self._next = lambda: self._counted(self._exchanged(lambda: exchange.know(secret)))

    def data_begins(self) -> None:
        """DATA was answered with 354: what follows is the message."""
        self._stuffed = StuffedMessage(self._max_message_size)
        self._next = self._next_stuffed

    def transaction_over(self) -> None:
        """The transaction is forgotten; at the end of a message that is so already (RFC 5321 §4.1.1.4)."""
        if self.stage is not Stage.CONNECTED:
            self.stage = Stage.GREETED
        self._stuffed = self._chunked = None
        self._next = self._next_command

    def restart(self) -> int:
        """Forget all that was said and all that waits, as STARTTLS asks (RFC 3207 §4.2); how many octets that was."""
        self.transaction_over()
        self.stage = Stage.CONNECTED
        self.extended = False
        self._exchange = None
        return self._lines.discard()

    # Commands

    def _next_command(self) -> Event | None:
        line = self._lines.next_line(MAX_AUTH_LINE)
        if line is None:
            return None
        if isinstance(line, Flaw):
            return self._bad(replies.bad_line(line.value))
        command = split_command(line)
        if isinstance(command, Reply):
            return self._bad(command)
        verb, argument = command
        if len(line) > MAX_COMMAND_LINE - 2 and len(line) > _LONGER_LINES.get(verb, MAX_COMMAND_LINE) - 2:
            return self._bad(replies.bad_line(Flaw.TOO_LONG.value))
        out_of_order = OUT_OF_ORDER.get(verb)
        if out_of_order is None:
            if verb in WEB_METHODS:
                return Drop(replies.NO_WEB_SERVER)
            return self._bad(replies.NOT_IMPLEMENTED if verb in NOT_IMPLEMENTED else replies.UNKNOWN_COMMAND)
        if verb == "MAIL":
            self._left_over = 0
        refusal = out_of_order.get(self.stage)
        if refusal is not None and verb not in PIPELINED:
            return self._bad(refusal)
        if verb == "BDAT":
            return self._bdat(argument, None if refusal is None else self._behind(refusal))
        if refusal is not None:
            return self._behind(refusal)
        refusal = self.closed.get(verb)
        if refusal is not None:
            return self._refuse(refusal)
        parse = self._parse.get(verb)
        if parse is not None:
            return self._counted(parse(argument))
        if argument and verb in NO_ARGUMENT:
            return self._refuse(replies.NO_PARAMETERS)
        if verb == "RSET":
            self.transaction_over()
        return Command(verb, argument)

    def _bad(self, refusal: Reply) -> Answer | Drop:
        self._bad_commands += 1
        return Answer(refusal) if self._bad_commands < MAX_BAD_COMMANDS else Drop(replies.TOO_MANY_BAD_COMMANDS)

    def _behind(self, refusal: Reply) -> Answer | Drop:
        """RCPT, DATA or BDAT out of order."""
        self._left_over += 1
        if self._left_over <= self._max_recipients + 1:
            return Answer(refusal)
        return self._refuse(refusal)

    def _refuse(self, refusal: Reply) -> Answer | Drop:
        """An answer that counts where it is one for good."""
        if refusal.code >= 500 and self.refused():
            return Drop(replies.TOO_MANY_REFUSALS)
        return Answer(refusal)

    def _counted(self, event: Event) -> Event:
        return self._refuse(event.reply) if type(event) is Answer else event

    def _hello(self, verb: str) -> Callable[[bytes], Event]:
        def hello(argument: bytes) -> Event:
            name = parse_hello(argument)
            if isinstance(name, Reply):
                return Answer(name)
            # RFC 5321 §4.1.4: EHLO within a transaction is RSET, too.
            self.stage = Stage.GREETED
            self.transaction_over()
            self.extended = verb == "EHLO"
            return Command(verb, name)

        return hello

    def _mail(self, argument: bytes) -> Event:
        arguments = parse_mail(argument)
        if isinstance(arguments, Reply):
            return Answer(arguments)
        # RFC 1870 §6.1: the estimate alone is enough to refuse.
        if arguments.size is not None and arguments.size > self._max_message_size:
            return Answer(replies.TOO_BIG)
        return Command("MAIL", arguments)

    def _rcpt(self, argument: bytes) -> Event:
        arguments = parse_rcpt(argument)
        if isinstance(arguments, Reply):
            return Answer(arguments)
        # In the path or, by RFC 6533 §3, in ORCPT.
        if not self._smtputf8 and not argument.isascii():
            return Answer(replies.NEEDS_SMTPUTF8)
        if self._recipients >= self._max_recipients:
            return Answer(replies.TOO_MANY_RECIPIENTS)
        return Command("RCPT", arguments)

    def _vrfy(self, argument: bytes) -> Event:
        return Command("VRFY", argument) if argument else Answer(replies.VRFY_SYNTAX)

    # Logins

    def _auth(self, argument: bytes) -> Event:
        if not self.extended:
            return Answer(replies.AUTH_NEEDS_EHLO)
        mechanism, _, initial = argument.partition(b" ")
        if not mechanism:
            return Answer(replies.AUTH_SYNTAX)
        exchange = exchange_for(mechanism, self._mechanisms)
        if exchange is None:
            return Answer(replies.unknown_mechanism(self._mechanisms))
        self._exchange = exchange
        return self._exchanged(lambda: exchange.start(initial.strip() or None))

    def _next_response(self) -> Event | None:
        line = self._lines.next_line(MAX_AUTH_LINE)
        if line is None:
            return None
        exchange = self._exchange
        assert exchange is not None
        if isinstance(line, Flaw):
            self._exchange = None
            self._next = self._next_command
            # RFC 4954 §4: 5.5.6 is "authentication exchange line is too long".
            return Answer(Reply(500, "5.5.6" if line is Flaw.TOO_LONG else "5.5.2", line.value))
        return self._counted(self._exchanged(lambda: exchange.respond(line)))

    def _exchanged(self, go_on: Callable[[], Step]) -> Event:
        self._next = self._next_command
        try:
            step = go_on()
        except SaslCancelled:
            return Answer(replies.AUTH_CANCELLED)
        except SaslSyntaxError as error:
            return Answer(replies.bad_response(str(error)))
        if not isinstance(step, Challenge):
            return Command("AUTH", step)
        self._next = self._next_response
        return Answer(replies.challenge(step))

    # The message

    def _next_stuffed(self) -> Event | None:
        message = self._stuffed
        assert message is not None
        while self._lines.waiting:
            piece, rest = message.take(self._lines.take())
            if rest is not None:
                self._lines.put_back(rest)
                self.transaction_over()
                return Body(piece, End.MESSAGE, message.refusal)
            if piece or message.refusal is not None:
                return Body(piece, End.NOTHING, message.refusal)
        return None

    def _bdat(self, argument: bytes, refusal: Answer | Drop | None) -> Event | None:
        chunk = parse_bdat(argument)
        if chunk is None:
            # Nobody can tell where the next command begins.
            return Drop(replies.BDAT_SYNTAX)
        if refusal is not None:
            # RFC 3030 §2: the octets are read and dropped all the same.
            self._octets_to_skip = chunk.octets
            self._after_skip = refusal
            self._next = self._next_skipped
            return self._next_skipped()
        if self._chunked is None:
            self._chunked = ChunkedMessage(self._max_message_size)
        self.stage = Stage.CHUNKS
        self._chunked.begin_chunk(chunk.octets, chunk.last)
        self._chunk_last = chunk.last
        self._next = self._next_chunked
        return Command("BDAT", chunk)

    def _next_skipped(self) -> Event | None:
        skipped = len(self._lines.take(self._octets_to_skip))
        self._octets_to_skip -= skipped
        if self._octets_to_skip:
            return Body(b"", End.NOTHING) if skipped else None
        self._next = self._next_command
        return self._after_skip

    def _next_chunked(self) -> Event | None:
        message = self._chunked
        assert message is not None
        while message.wanted == 0 or self._lines.waiting:
            piece = message.take(self._lines.take(message.wanted))
            if message.wanted == 0:
                self._next = self._next_command
                if self._chunk_last:
                    self.transaction_over()
                return Body(piece, End.MESSAGE if self._chunk_last else End.CHUNK, message.refusal)
            if piece or message.refusal is not None:
                return Body(piece, End.NOTHING, message.refusal)
        return None
