"""POP3 client commands as octets, and parsers for listings in answers."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from emailsys.wire.pop3.grammar import MAX_COMMAND_LINE, number
from emailsys.wire.sasl_client import login_responses, plain_response, xoauth2_response

_CAPABILITY: Final = re.compile(r"[!-,.0-~][!-~]*")
# RFC 1939 §7: one to 70 octets from 0x21 to 0x7E. Longer ones exist and are accepted.
_UNIQUE_ID: Final = re.compile(rb"[!-~]+")
_LINE_END: Final = re.compile(r"[\r\n\0]")


class Shape(enum.Enum):
    """The kind of data that follows a +OK."""

    #: Nothing.
    LINE = "a line"
    #: Lines up to a single dot, collected.
    LISTING = "a listing"
    #: A message up to a line with a single dot, passed on in pieces.
    MESSAGE = "a message"


@dataclass(slots=True, eq=False)
class Command:
    """A command. Commands are compared by identity.

    @ivar shown: the form for logs.
    @ivar alone: whether no other command may be sent until it is answered.
    @ivar responses: the responses to challenges, one for each.
    """

    octets: bytes = field(repr=False)
    shape: Shape = Shape.LINE
    shown: str = ""
    alone: bool = False
    responses: list[bytes] = field(default_factory=list, repr=False)


class ArgumentError(ValueError):
    """An argument contains a line end or NUL, which would end the command."""


def _argument(text: str) -> bytes:
    if _LINE_END.search(text):
        raise ArgumentError("a line end or NUL in a user name or password")
    return text.encode()


def greeting() -> Command:
    """Return a placeholder command for the greeting of the server."""
    return Command(b"", shown="the greeting", alone=True)


def capa() -> Command:
    """CAPA (RFC 2449 §5)."""
    return Command(b"CAPA\r\n", Shape.LISTING, "CAPA")


def stls() -> Command:
    """STLS (RFC 2595 §4)."""
    return Command(b"STLS\r\n", shown="STLS", alone=True)


def utf8() -> Command:
    """UTF8, before the login (RFC 6856 §2)."""
    return Command(b"UTF8\r\n", shown="UTF8")


def user(name: str) -> Command:
    """USER. @raise ArgumentError: the name has a line end."""
    return Command(b"USER " + _argument(name) + b"\r\n", shown="USER", alone=True)


def password(text: str) -> Command:
    """PASS. @raise ArgumentError: the password has a line end."""
    return Command(b"PASS " + _argument(text) + b"\r\n", shown="PASS", alone=True)


def auth_plain(name: str, text: str) -> Command:
    """AUTH PLAIN (RFC 5034), with its response on the same line if it is short enough (§4).

    @raise ArgumentError: NUL in name or password.
    """
    _argument(name + text)
    response = plain_response(name, text)
    line = b"AUTH PLAIN " + response
    if len(line) <= MAX_COMMAND_LINE:
        return Command(line, shown="AUTH PLAIN", alone=True)
    return Command(b"AUTH PLAIN\r\n", shown="AUTH PLAIN", alone=True, responses=[response])


def auth_login(name: str, text: str) -> Command:
    """AUTH LOGIN, for servers without a better mechanism."""
    return Command(b"AUTH LOGIN\r\n", shown="AUTH LOGIN", alone=True, responses=login_responses(name, text))


def auth_xoauth2(name: str, token: str) -> Command:
    """AUTH XOAUTH2. A rejection arrives as a challenge, which requires an empty response.

    Tokens rarely fit on the command line, and some servers accept none there.
    """
    responses = [xoauth2_response(name, token), b"\r\n"]
    return Command(b"AUTH XOAUTH2\r\n", shown="AUTH XOAUTH2", alone=True, responses=responses)


def stat() -> Command:
    """STAT."""
    return Command(b"STAT\r\n", shown="STAT")


def uidl() -> Command:
    """UIDL of all messages."""
    return Command(b"UIDL\r\n", Shape.LISTING, "UIDL")


def sizes() -> Command:
    """LIST of all messages."""
    return Command(b"LIST\r\n", Shape.LISTING, "LIST")


def retr(message: int) -> Command:
    """RETR."""
    return Command(b"RETR %d\r\n" % message, Shape.MESSAGE, "RETR")


def top(message: int, lines: int) -> Command:
    """TOP: the header section and the first lines of the body."""
    return Command(b"TOP %d %d\r\n" % (message, lines), Shape.MESSAGE, "TOP")


def dele(message: int) -> Command:
    """DELE."""
    return Command(b"DELE %d\r\n" % message, shown="DELE")


def noop() -> Command:
    """NOOP."""
    return Command(b"NOOP\r\n", shown="NOOP")


def rset() -> Command:
    """RSET: cancel deletions."""
    return Command(b"RSET\r\n", shown="RSET")


def end() -> Command:
    """QUIT: the server carries out deletions (RFC 1939 §6)."""
    return Command(b"QUIT\r\n", shown="QUIT", alone=True)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of a server: keywords in upper case, each with its unchanged parameters."""

    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.offered

    @property
    def mechanisms(self) -> frozenset[str]:
        """The mechanisms of AUTH, in upper case."""
        return frozenset(mechanism.upper() for mechanism in self.offered.get("SASL", ()))


def capabilities(lines: Iterable[bytes]) -> Capabilities:
    """Parse the lines of CAPA (RFC 2449 §3). Malformed lines are ignored."""
    offered: dict[str, tuple[str, ...]] = {}
    for line in lines:
        words = line.decode("ascii", "replace").split()
        if words and _CAPABILITY.fullmatch(words[0]):
            keyword = words[0].upper()
            offered[keyword] = offered.get(keyword, ()) + tuple(words[1:])
    return Capabilities(offered)


def unique_ids(lines: Iterable[bytes]) -> dict[int, str]:
    """Parse UIDL: message numbers with unique ids (RFC 1939 §7). Malformed lines are ignored."""
    found: dict[int, str] = {}
    for line in lines:
        first, _, second = line.partition(b" ")
        message = number(first)
        second = second.strip(b" ")
        if message and _UNIQUE_ID.fullmatch(second):
            found[message] = second.decode("ascii")
    return found


def octets_of(lines: Iterable[bytes]) -> dict[int, int]:
    """Parse LIST: message numbers with sizes in octets (RFC 1939 §5). Servers may append words."""
    found: dict[int, int] = {}
    for line in lines:
        words = line.split(b" ", 2)
        message = number(words[0])
        octets = number(words[1]) if len(words) > 1 else None
        if message and octets is not None:
            found[message] = octets
    return found
