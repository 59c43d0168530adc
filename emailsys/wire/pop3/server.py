"""The order of a POP3 session: octets of a client become commands, each only where it may come (RFC 1939 §4 to §6)."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from emailsys.wire.lines import Flaw, LineReader
from emailsys.wire.pop3.grammar import MAX_COMMAND_LINE, Arguments, POP3SyntaxError, looks_like_http, read_command
from emailsys.wire.sasl import MAX_AUTH_LINE

# How many lines that are no commands are answered before the connection is closed.
MAX_BAD_COMMANDS: Final = 10
# How many commands may come before the login. Programs need ten; with more of them one could stay for ever, none being
# silence.
MAX_COMMANDS_BEFORE_LOGIN: Final = 100


class State(enum.Enum):
    """Where a session stands. EXCHANGE is AUTHORIZATION while AUTH waits for the client's next line."""

    AUTHORIZATION = "AUTHORIZATION"
    EXCHANGE = "EXCHANGE"
    TRANSACTION = "TRANSACTION"


class Command(NamedTuple):
    """Act on this: the name in upper case, and its arguments as far as they are numbers, parsed."""

    verb: str
    arguments: Arguments


class Response(NamedTuple):
    """The client's next line of an authentication exchange."""

    line: bytes


class Refusal(NamedTuple):
    """Answer `-ERR text`; `last` asks to close the connection after it."""

    text: str
    last: bool = False


class Hangup(NamedTuple):
    """Close the connection without a word, for that reason."""

    reason: str


Event = Command | Response | Refusal | Hangup


class POP3Session:
    """One client's session, without I/O.

    The caller acts on one event before it asks for the next, and tells what came of it: `user`, `begin_exchange`,
    `end_exchange`, `log_in`, `begin_tls`.
    """

    __slots__ = ("_bad_commands", "_before_login", "_lines", "secure", "state", "user", "utf8")

    def __init__(self) -> None:
        self._lines = LineReader()
        self._bad_commands = 0
        self._before_login = 0
        self.state = State.AUTHORIZATION
        #: Whether TLS is on: STLS is no more in order (RFC 2595 §4).
        self.secure = False
        #: The name that USER gave and PASS has not used yet.
        self.user: bytes | None = None
        #: Whether the client has sent UTF8 (RFC 6856 §2.1).
        self.utf8 = False

    @property
    def waiting(self) -> int:
        """Octets fed and not yet taken."""
        return self._lines.waiting

    def feed(self, octets: bytes) -> None:
        """Take octets from the client."""
        self._lines.feed(octets)

    def begin_exchange(self) -> None:
        """AUTH was answered with a challenge: the next line is a response."""
        self.state = State.EXCHANGE

    def end_exchange(self) -> None:
        """The exchange is over, whatever its outcome."""
        self.state = State.AUTHORIZATION

    def log_in(self) -> None:
        """The maildrop is open."""
        self.state = State.TRANSACTION
        self.user = None
        self._bad_commands = 0

    def begin_tls(self) -> int:
        """Forget all that came in the clear (RFC 2595 §4), and what it set; how many octets waited."""
        self.secure = True
        self.state = State.AUTHORIZATION
        self.user = None
        self.utf8 = False
        return self._lines.discard()

    def next_event(self) -> Event | None:
        """What to do next, None until more octets come."""
        if self.state is State.EXCHANGE:
            line = self._lines.next_line(MAX_AUTH_LINE)
            if line is None:
                return None
            if isinstance(line, Flaw):
                self.state = State.AUTHORIZATION
                return self._refuse(line.value)
            return Response(line)
        line = self._lines.next_line(MAX_COMMAND_LINE)
        if line is None:
            return None
        if isinstance(line, Flaw):
            return self._refuse(line.value)
        try:
            verb, arguments = read_command(line)
        except POP3SyntaxError as error:
            if looks_like_http(line):
                return Hangup("speaks HTTP")
            return self._refuse(str(error))
        if self.state is State.TRANSACTION:
            if not verb.after_login:
                return self._refuse(f"{verb.name} is not allowed after login")
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

    def _refuse(self, text: str) -> Refusal:
        self._bad_commands += 1
        if self._bad_commands < MAX_BAD_COMMANDS:
            return Refusal(text)
        return Refusal(f"{text}; too many bad commands", last=True)
