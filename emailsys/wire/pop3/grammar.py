"""Grammar of POP3 commands: parses a line into a command and its arguments (RFC 1939 §9, RFC 2449 §4)."""

from __future__ import annotations

import stringprep
from collections.abc import Callable
from typing import Final, NamedTuple

#: Octets of a command line, CRLF included (RFC 2449 §4); of AUTH too (RFC 5034 §4).
MAX_COMMAND_LINE: Final = 255

# 2**64 has 20 digits. fetchmail requests 99999999 lines of TOP, other clients their largest integer.
_MAX_DIGITS: Final = 20

# Characters that SASLprep prohibits (RFC 4013 §2.3), except the control characters of ASCII.
_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)

Argument = int | bytes
Arguments = tuple[Argument, ...]


class POP3SyntaxError(ValueError):
    """The line is not a valid command. The message says why, in words that fit into a reply."""


class Verb(NamedTuple):
    """A known command: its name, the states that allow it, and the parser of its arguments."""

    name: str
    before_login: bool
    after_login: bool
    usage: str
    read: Callable[[bytes], Arguments | None]


def number(text: bytes) -> int | None:
    """Parse a decimal number of ASCII digits. int() would accept signs, underscores and Unicode digits."""
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else None


def _nothing(text: bytes) -> Arguments | None:
    return None if text else ()


def _message(text: bytes) -> Arguments | None:
    value = number(text)
    return (value,) if value else None


def _maybe_message(text: bytes) -> Arguments | None:
    return _message(text) if text else ()


def _message_and_lines(text: bytes) -> Arguments | None:
    first, _, second = text.partition(b" ")
    message, lines = number(first), number(second)
    return (message, lines) if message and lines is not None else None


def _mechanism(text: bytes) -> Arguments | None:
    words = tuple(text.split(b" ")) if text else ()
    return words if len(words) <= 2 and all(words) else None


def _credential(text: bytes) -> Arguments | None:
    """Parse the argument of USER or PASS.

    Spaces belong to it (RFC 1939 §7). It must be UTF-8 without prohibited characters (RFC 6856 §2.2).
    """
    if not text:
        return None
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise POP3SyntaxError("not UTF-8") from None
    if any(ord(octet) < 32 or ord(octet) == 127 for octet in decoded):
        raise POP3SyntaxError("control characters are not allowed")
    if not decoded.isascii() and any(table(letter) for letter in decoded for table in _PROHIBITED):
        # RFC 4013 §2.1 maps non-ASCII spaces (C.1.2) to a space. Here they are prohibited: users type them by mistake.
        raise POP3SyntaxError("characters that SASLprep prohibits")
    return (text,)


_VERBS: Final = {
    verb.name.encode(): verb
    for verb in (
        Verb("CAPA", True, True, "CAPA", _nothing),
        Verb("QUIT", True, True, "QUIT", _nothing),
        Verb("STLS", True, False, "STLS", _nothing),
        Verb("UTF8", True, False, "UTF8", _nothing),
        Verb("AUTH", True, False, "AUTH [mechanism [initial-response]]", _mechanism),
        Verb("USER", True, False, "USER name", _credential),
        Verb("PASS", True, False, "PASS password", _credential),
        Verb("STAT", False, True, "STAT", _nothing),
        Verb("LIST", False, True, "LIST [message]", _maybe_message),
        Verb("UIDL", False, True, "UIDL [message]", _maybe_message),
        Verb("RETR", False, True, "RETR message", _message),
        Verb("TOP", False, True, "TOP message lines", _message_and_lines),
        Verb("DELE", False, True, "DELE message", _message),
        Verb("NOOP", False, True, "NOOP", _nothing),
        Verb("RSET", False, True, "RSET", _nothing),
    )
}


def read_command(line: bytes) -> tuple[Verb, Arguments]:
    """Parse a command line. The command may be in upper or lower case.

    @raise POP3SyntaxError: the command is unknown, or its arguments are invalid.
    """
    word, _, text = line.partition(b" ")
    verb = _VERBS.get(word) or _VERBS.get(word.upper())
    if verb is None:
        raise POP3SyntaxError("unknown command")
    # A trailing space is ignored, except in a password, to which it belongs.
    arguments = verb.read(text if verb.name == "PASS" else text.rstrip(b" "))
    if arguments is None:
        raise POP3SyntaxError(f"usage: {verb.usage}")
    return verb, arguments
