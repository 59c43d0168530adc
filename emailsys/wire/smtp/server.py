"""Server side of an SMTP session, without I/O: turns octets into events, in the order and limits of RFC 5321."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from emailsys.mail import reply as replies
from emailsys.mail.dsn_request import NOTHING_ASKED_FOR_RECIPIENT
from emailsys.mail.envelope import NO_PARAMETERS
from emailsys.mail.reply import Reply
from emailsys.wire.foreign_protocols import TLS, begins_foreign, foreign_protocol, looks_like_request
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
from emailsys.wire.smtp.body import BodyRules, ChunkedMessage, StuffedMessage
from emailsys.wire.smtp.grammar import (
    MailArguments,
    parse_bdat,
    parse_hello,
    parse_mail,
    parse_password_change,
    parse_rcpt,
    split_command,
)
from emailsys.wire.smtp.line_limits import LONGER_LINES, MAX_COMMAND_LINE
from emailsys.wire.smtp.order import IDLE_COMMANDS, NO_ARGUMENT, NOT_IMPLEMENTED, OUT_OF_ORDER, PIPELINED, Stage
from emailsys.wire.smtp.refusals import Refusals
from emailsys.wire.smtp.server_events import Answer, Body, Command, Drop, End, Event
from emailsys.wire.smtp.transaction import Transaction

# The longest line of most commands, without its CRLF.
_USUAL_LINE: Final = MAX_COMMAND_LINE - 2


def _dropped(protocol: str) -> Drop:
    return Drop(replies.TLS_AT_ONCE if protocol is TLS else replies.other_protocol(protocol))


class Session:
    """One session. Feed it octets and take its events one at a time, each after the one before was answered.

    Its user calls `begin_transaction` after MAIL was accepted, adds accepted recipients to `transaction`, and calls
    `begin_data` before the 354 reply. Between `next_event` and the next call of it, `transaction` is the current one.
    """

    def __init__(
        self,
        max_message_size: int,
        max_recipients: int,
        max_refusals: int = 100,
        mechanisms: Mechanisms = MECHANISMS,
        lines: LineReader | None = None,
    ) -> None:
        """
        @param max_message_size: in octets, dots unstuffed.
        @param max_refusals: 5xx replies allowed until a message is accepted; one more ends the session.
        @param lines: cuts the input into lines; None makes a reader.
        """
        self._lines = LineReader() if lines is None else lines
        self._max_message_size = max_message_size
        self._max_recipients = max_recipients
        self._mechanisms = mechanisms
        #: The commands that are refused at the moment whatever their arguments, with the reply.
        self.closed: dict[str, Reply] = {}
        #: The current transaction, or the empty one that the next MAIL replaces.
        self.transaction = Transaction()
        self._greeted = False
        #: What the next message may contain.
        self.body_rules = BodyRules(max_message_size)
        #: The EHLO keywords of extensions that are known, but not offered to this client.
        self.not_offered: frozenset[str] = frozenset()
        #: Whether the client has sent EHLO rather than HELO.
        self.extended = False
        #: Returns the next event, None until more octets arrive.
        self.next_event: Callable[[], Event | None] = self._next_command
        self._refusals = Refusals(max_recipients, max_refusals)
        # Whether no line has been read yet.
        self._is_first_line = True
        self._exchange: Exchange | None = None
        self._chunk_last = False
        self._octets_to_skip = 0
        self._after_skip: Event = Answer(replies.MAIL_FIRST)

    # For its user

    @property
    def stage(self) -> Stage:
        """How far the client has progressed."""
        return self.transaction.stage if self._greeted else Stage.CONNECTED

    @property
    def waiting(self) -> int:
        """How many octets were fed and not read yet."""
        return self._lines.waiting

    @property
    def in_exchange(self) -> bool:
        """Whether the next line is a response of an AUTH exchange."""
        return self.next_event == self._next_response

    @property
    def in_body(self) -> bool:
        """Whether the next octets belong to a message."""
        return self.transaction.in_body

    def feed(self, octets: bytes) -> None:
        """Append octets from the peer."""
        self._lines.feed(octets)

    def begin_transaction(self, arguments: MailArguments) -> None:
        """Begin a transaction: the sender was accepted."""
        self.transaction = Transaction(arguments)
        self._refusals.begin_transaction()

    def begin_data(self) -> None:
        """Read the message of DATA next."""
        self.transaction.body = StuffedMessage(self.body_rules)
        self.next_event = self._next_stuffed

    def end_transaction(self) -> None:
        """Abandon the current transaction. At the end of a message this is already done (RFC 5321 §4.1.1.4)."""
        self.transaction = Transaction()
        self.next_event = self._next_command

    def count_refusal(self) -> bool:
        """Count a permanently refused sender or recipient.

        @return: whether there were too many: the client may be guessing addresses, and is disconnected.
        """
        return self._refusals.is_too_many()

    def reset_refusals(self) -> None:
        """Begin the counts of refusals and of idle commands again: a message was accepted."""
        self._refusals.reset()

    def secret_found(self, secret: str | None) -> None:
        """Continue the exchange after `Command("AUTH", NeedsSecret(...))`: its next step is the next event."""
        exchange = self._exchange
        assert exchange is not None
        self.next_event = lambda: self._count_refusal_of(self._exchange_step(lambda: exchange.know(secret)))

    def restart(self) -> int:
        """Discard the session's state and its unread input, as STARTTLS requires (RFC 3207 §4.2).

        @return: how many octets were discarded.
        """
        self.end_transaction()
        self._greeted = False
        self.extended = False
        self._exchange = None
        return self._lines.discard()

    # Commands

    def _next_command(self) -> Event | None:
        line = self._lines.next_line(MAX_AUTH_LINE)
        if line is None:
            begun = self._lines.begun
            return self._end_foreign(begun) if begun else None
        is_first, self._is_first_line = self._is_first_line, False
        if isinstance(line, Flaw):
            return self._reject_line(self._lines.flawed, replies.bad_line(line.value), is_first)
        command = split_command(line)
        if isinstance(command, Reply):
            return self._reject_line(line, command, is_first)
        verb, argument = command
        if len(line) > _USUAL_LINE and len(line) > LONGER_LINES.get(verb, MAX_COMMAND_LINE) - 2:
            return self._reject_line(line, replies.bad_line(Flaw.TOO_LONG.value), is_first)
        out_of_order = OUT_OF_ORDER.get(verb)
        if out_of_order is None:
            no_such = replies.NOT_IMPLEMENTED if verb in NOT_IMPLEMENTED else replies.UNKNOWN_COMMAND
            return self._reject_line(line, no_such, is_first)
        if verb == "MAIL":
            self._refusals.begin_pipeline()
        refusal = out_of_order.get(self.transaction.stage if self._greeted else Stage.CONNECTED)
        if refusal is not None:
            if verb not in PIPELINED:
                is_never_open = self.closed.get(verb) is replies.AUTH_NOT_HERE  # Another order would not help.
                return self._refusals.reject(replies.AUTH_NOT_HERE if is_never_open else refusal)
            refused = self._refusals.refuse_pipelined(refusal)
            return self._bdat(verb, argument, refused) if verb == "BDAT" else refused
        refusal = self.closed.get(verb)
        if refusal is not None:
            return self._refusals.refuse(refusal)
        event = self._parsers[verb](self, verb, argument)
        if type(event) is Answer:
            return self._refusals.refuse(event.reply)
        if verb in IDLE_COMMANDS and type(event) is Command and self._refusals.is_too_idle():
            return Drop(replies.TOO_MANY_IDLE_COMMANDS)
        return event

    def _reject_line(self, line: bytes, refusal: Reply, is_first: bool) -> Answer | Drop:
        """Refuse a line that is no command, and end the session if it is of another protocol: others may follow."""
        if looks_like_request(line):
            return Drop(replies.OTHER_PROTOCOL)
        protocol = foreign_protocol(line, is_first)
        return self._refusals.reject(refusal) if protocol is None else _dropped(protocol)

    def _end_foreign(self, begun: bytes) -> Drop | None:
        """End the session if the unfinished line can only be of another protocol, which may never end it."""
        protocol = begins_foreign(begun, self._is_first_line)
        if protocol is None:
            return None
        self._lines.cut()
        return _dropped(protocol)

    def _count_refusal_of(self, event: Event) -> Event:
        return self._refusals.refuse(event.reply) if type(event) is Answer else event

    def _hello(self, verb: str, argument: bytes) -> Event:
        name = parse_hello(argument)
        if isinstance(name, Reply):
            return Answer(name if verb == "EHLO" else replies.HELO_SYNTAX)
        # RFC 5321 §4.1.4: EHLO within a transaction also acts as RSET.
        self._greeted = True
        self.end_transaction()
        self.extended = verb == "EHLO"
        return Command(verb, name)

    def _unparsed(self, verb: str, argument: bytes) -> Event:
        if argument and verb in NO_ARGUMENT:
            return Answer(replies.NO_PARAMETERS)
        if verb == "RSET":
            self.end_transaction()
        return Command(verb, argument)

    def _mail(self, verb: str, argument: bytes) -> Event:
        arguments = parse_mail(argument)
        if isinstance(arguments, Reply):
            return Answer(arguments)
        # RFC 1870 §6.1: the declared size alone justifies the refusal.
        if arguments.size is not None and arguments.size > self._max_message_size:
            return Answer(replies.TOO_BIG)
        parameters = arguments.parameters
        if parameters is not NO_PARAMETERS and not self.not_offered.isdisjoint(parameters.extensions):
            return Answer(replies.UNKNOWN_PARAMETER)
        return Command(verb, arguments)

    def _rcpt(self, verb: str, argument: bytes) -> Event:
        arguments = parse_rcpt(argument)
        if isinstance(arguments, Reply):
            return Answer(arguments)
        if arguments.dsn is not NOTHING_ASKED_FOR_RECIPIENT and "DSN" in self.not_offered:
            return Answer(replies.UNKNOWN_PARAMETER)
        # UTF-8 may be in the path or in ORCPT (RFC 6533 §3).
        transaction = self.transaction
        if not transaction.arguments.parameters.smtputf8 and not argument.isascii():
            return Answer(replies.NEEDS_SMTPUTF8)
        if len(transaction.recipients) >= self._max_recipients:
            return self._refusals.refuse_surplus()
        return Command(verb, arguments)

    def _vrfy(self, verb: str, argument: bytes) -> Event:
        return Command(verb, argument) if argument else Answer(replies.VRFY_SYNTAX)

    # Logins

    def _auth(self, verb: str, argument: bytes) -> Event:
        if not self.extended:
            return Answer(replies.AUTH_NEEDS_EHLO)
        mechanism, _, initial = argument.partition(b" ")
        if not mechanism:
            return Answer(replies.AUTH_SYNTAX)
        exchange = exchange_for(mechanism, self._mechanisms)
        if exchange is None:
            return Answer(replies.unknown_mechanism(self._mechanisms))
        self._exchange = exchange
        return self._exchange_step(lambda: exchange.start(initial.strip() or None))

    def _next_response(self) -> Event | None:
        line = self._lines.next_line(MAX_AUTH_LINE)
        if line is None:
            return None
        exchange = self._exchange
        assert exchange is not None
        if isinstance(line, Flaw):
            self._exchange = None
            self.next_event = self._next_command
            # RFC 4954 §4: 5.5.6 is "authentication exchange line is too long".
            return Answer(Reply(500, "5.5.6" if line is Flaw.TOO_LONG else "5.5.2", line.value))
        return self._count_refusal_of(self._exchange_step(lambda: exchange.respond(line)))

    def _exchange_step(self, next_step: Callable[[], Step]) -> Event:
        self.next_event = self._next_command
        try:
            step = next_step()
        except SaslCancelled:
            return Answer(replies.AUTH_CANCELLED)
        except SaslSyntaxError as error:
            return Answer(replies.bad_response(str(error)))
        if not isinstance(step, Challenge):
            return Command("AUTH", step)
        self.next_event = self._next_response
        return Answer(replies.challenge(step))

    def _password_change(self, verb: str, argument: bytes) -> Event:
        change = parse_password_change(argument)
        return Answer(change) if isinstance(change, Reply) else Command(verb, change)

    # The message

    def _next_stuffed(self) -> Event | None:
        message = self.transaction.body
        assert isinstance(message, StuffedMessage)
        while self._lines.waiting:
            piece, rest = message.take(self._lines.take())
            if rest is not None:
                self._lines.put_back(rest)
                self.end_transaction()
                return Body(piece, End.MESSAGE, message.refusal)
            if piece or message.refusal is not None:
                return Body(piece, End.NOTHING, message.refusal)
        return None

    def _bdat(self, verb: str, argument: bytes, refusal: Answer | Drop | None = None) -> Event | None:
        chunk = parse_bdat(argument)
        if chunk is None:
            # Where the next command begins cannot be known.
            return Drop(replies.BDAT_SYNTAX)
        if refusal is not None:
            # RFC 3030 §2: the octets are read and discarded nevertheless.
            self._octets_to_skip = chunk.octets
            self._after_skip = refusal
            self.next_event = self._next_skipped
            return self._next_skipped()
        message = self.transaction.body
        if message is None:
            message = self.transaction.body = ChunkedMessage(self.body_rules)
        assert isinstance(message, ChunkedMessage)
        if not chunk.octets and not chunk.last and self._refusals.is_too_idle():
            return Drop(replies.TOO_MANY_IDLE_COMMANDS)
        message.begin_chunk(chunk.octets, chunk.last)
        self._chunk_last = chunk.last
        self.next_event = self._next_chunked
        return Command(verb, chunk)

    def _next_skipped(self) -> Event | None:
        skipped = len(self._lines.take(self._octets_to_skip))
        self._octets_to_skip -= skipped
        if self._octets_to_skip:
            return Body(b"", End.NOTHING) if skipped else None
        self.next_event = self._next_command
        return self._after_skip

    def _next_chunked(self) -> Event | None:
        message = self.transaction.body
        assert isinstance(message, ChunkedMessage)
        while message.wanted == 0 or self._lines.waiting:
            piece = message.take(self._lines.take(message.wanted))
            if message.wanted == 0:
                self.next_event = self._next_command
                if self._chunk_last:
                    self.end_transaction()
                return Body(piece, End.MESSAGE if self._chunk_last else End.CHUNK, message.refusal)
            if piece or message.refusal is not None:
                return Body(piece, End.NOTHING, message.refusal)
        return None

    # What parses the arguments of each command that is in order. Called with the session, the verb and the argument.
    _parsers: ClassVar[Mapping[str, Callable[[Session, str, bytes], Event | None]]] = {
        **dict.fromkeys((*NO_ARGUMENT, "NOOP", "HELP"), _unparsed),
        "EHLO": _hello,
        "HELO": _hello,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "BDAT": _bdat,
        "VRFY": _vrfy,
        "AUTH": _auth,
        "XPASSWORD": _password_change,
    }
