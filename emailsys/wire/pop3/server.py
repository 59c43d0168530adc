"""Server side of a POP3 session, without I/O: turns octets into commands that are in order (RFC 1939 §4 to §6)."""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

from emailsys.mail.reply import OTHER_PROTOCOL, other_protocol
from emailsys.wire.foreign_protocols import TLS, begins_foreign, foreign_protocol, looks_like_request
from emailsys.wire.lines import Flaw, LineReader
from emailsys.wire.pop3.grammar import MAX_COMMAND_LINE, Arguments, POP3SyntaxError, read_command
from emailsys.wire.sasl import MAX_AUTH_LINE

# Invalid commands that are answered before the connection is closed.
MAX_BAD_COMMANDS: Final = 10
# Commands allowed before login. Programs need ten. Without a limit a client could stay for ever, because each command
# ends the silence that the login timeout measures.
MAX_COMMANDS_BEFORE_LOGIN: Final = 100
# Commands after login since the last one that concerned a message. A program that keeps its session open may send NOOP
# each minute for six days. QUIT is never refused, because it deletes messages.
MAX_IDLE_COMMANDS: Final = 9_000


class State(enum.Enum):
    """State of a session. EXCHANGE is AUTHORIZATION while AUTH waits for the client's next line."""

    AUTHORIZATION = "AUTHORIZATION"
    EXCHANGE = "EXCHANGE"
    TRANSACTION = "TRANSACTION"


# The commands that clients send for each message, as nearly all of them write these. The grammar reads the others.
_FREQUENT: Final = re.compile(rb"(RETR|DELE) ([1-9][0-9]{0,8})\r\n")
_FREQUENT_VERBS: Final = {b"RETR": "RETR", b"DELE": "DELE"}

# Python 3.11 takes as long to look up a member of an enumeration as to cut a line from the input.
_EXCHANGE: Final = State.EXCHANGE
_TRANSACTION: Final = State.TRANSACTION


class Command(NamedTuple):
    """A command that is in order: the name in upper case, and the arguments, numbers parsed."""

    verb: str
    arguments: Arguments


class Response(NamedTuple):
    """The client's next line of an authentication exchange."""

    line: bytes


class Refusal(NamedTuple):
    """A reply `-ERR text`. If `last` is true, the connection is closed after it."""

    text: str
    last: bool = False


Event = Command | Response | Refusal

# Mail programs call STLS "STARTTLS", too.
_TLS_AT_ONCE: Final = Refusal("your program began TLS at once; on this port it must use STLS (STARTTLS)", last=True)


def _ended(protocol: str) -> Refusal:
    return _TLS_AT_ONCE if protocol is TLS else Refusal(other_protocol(protocol).text, last=True)


class POP3Session:
    """One client's session, without I/O.

    The caller acts on each event before it requests the next. It sets `user` and `utf8`, and calls `begin_exchange`,
    `end_exchange`, `log_in` and `begin_tls` when these things happen.
    """

    __slots__ = (
        "_bad_commands",
        "_before_login",
        "_is_first_line",
        "_lines",
        "idle_commands",
        "secure",
        "state",
        "user",
        "utf8",
    )

    def __init__(self, lines: LineReader | None = None) -> None:
        """@param lines: cuts the input into lines; None makes a reader."""
        self._lines = LineReader() if lines is None else lines
        self._bad_commands = 0
        self._before_login = 0
        # Whether no line has been read yet.
        self._is_first_line = True
        #: The number of commands since the last one that concerned a message, which sets it to 0.
        self.idle_commands = 0
        self.state = State.AUTHORIZATION
        #: Whether TLS is active: STLS is then out of order (RFC 2595 §4).
        self.secure = False
        #: The name of the last USER, until PASS uses it.
        self.user: bytes | None = None
        #: Whether the client has sent UTF8 (RFC 6856 §2.1).
        self.utf8 = False

    @property
    def in_exchange(self) -> bool:
        """Whether the next line is a response of an AUTH exchange."""
        return self.state is _EXCHANGE

    @property
    def waiting(self) -> int:
        """How many octets were fed and not read yet."""
        return self._lines.waiting

    def feed(self, octets: bytes) -> None:
        """Append octets from the client."""
        self._lines.feed(octets)

    def begin_exchange(self) -> None:
        """Read the next line as a response: AUTH was answered with a challenge."""
        self.state = State.EXCHANGE

    def end_exchange(self) -> None:
        """End the exchange, whatever its outcome."""
        self.state = State.AUTHORIZATION

    def log_in(self) -> None:
        """Enter the TRANSACTION state: the maildrop is open."""
        self.state = State.TRANSACTION
        self.user = None
        self._bad_commands = 0

    def begin_tls(self) -> int:
        """Discard all state and unread input from before TLS (RFC 2595 §4).

        @return: how many octets were discarded.
        """
        self.secure = True
        self.state = State.AUTHORIZATION
        self.user = None
        self.utf8 = False
        return self._lines.discard()

    def next_event(self) -> Event | None:
        """Returns the next event, None until more octets arrive."""
        state = self.state
        if state is _EXCHANGE:
            line = self._lines.next_line(MAX_AUTH_LINE)
            if line is None:
                return None
            if isinstance(line, Flaw):
                self.state = State.AUTHORIZATION
                return self._refuse(line.value)
            return Response(line)
        if state is _TRANSACTION and self.idle_commands < MAX_IDLE_COMMANDS:
            found = self._lines.next_match(_FREQUENT)
            if found is not None:
                self.idle_commands += 1
                return Command(_FREQUENT_VERBS[found[1]], (int(found[2]),))
        line = self._lines.next_line(MAX_COMMAND_LINE)
        if line is None:
            begun = self._lines.begun
            return self._end_foreign(begun) if begun else None
        is_first, self._is_first_line = self._is_first_line, False
        if isinstance(line, Flaw):
            return self._refuse_line(self._lines.flawed, line.value, is_first)
        try:
            verb, arguments = read_command(line)
        except POP3SyntaxError as error:
            return self._refuse_line(line, str(error), is_first)
        if state is _TRANSACTION:
            if not verb.after_login:
                return self._refuse(f"{verb.name} is not allowed after login")
            self.idle_commands += 1
            if self.idle_commands > MAX_IDLE_COMMANDS and verb.name != "QUIT":
                return Refusal("too many commands without a message", last=True)
        elif not verb.before_login:
            return self._refuse(f"{verb.name} is not allowed before login")
        elif verb.name == "STLS" and self.secure:
            return self._refuse("TLS is already active")
        elif verb.name == "PASS" and self.user is None:
            return self._refuse("USER first")
        elif verb.name != "QUIT":
            self._before_login += 1
            if self._before_login > MAX_COMMANDS_BEFORE_LOGIN:
                return Refusal("too many commands before login", last=True)
        return Command(verb.name, arguments)

    def _refuse_line(self, line: bytes, text: str, is_first: bool) -> Refusal:
        """Refuse an invalid line, and end the session if it is of another protocol: others may follow."""
        if looks_like_request(line):
            return Refusal(OTHER_PROTOCOL.text, last=True)
        protocol = foreign_protocol(line, is_first)
        return self._refuse(text) if protocol is None else _ended(protocol)

    def _end_foreign(self, begun: bytes) -> Refusal | None:
        """End the session if the unfinished line can only be of another protocol, which may never end it."""
        protocol = begins_foreign(begun, self._is_first_line)
        if protocol is None:
            return None
        self._lines.cut()
        return _ended(protocol)

    def _refuse(self, text: str) -> Refusal:
        self._bad_commands += 1
        if self._bad_commands < MAX_BAD_COMMANDS:
            return Refusal(text)
        return Refusal(f"{text}; too many bad commands", last=True)
