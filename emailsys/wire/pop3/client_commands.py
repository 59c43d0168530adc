"""The commands of a POP3 client as octets, and what the lines of a server's answers mean."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from emailsys.wire.pop3.grammar import MAX_COMMAND_LINE, number
from emailsys.wire.sasl_client import login_responses, plain_response, xoauth2_response

_CAPABILITY: Final = re.compile(r"[!-,.0-~][!-~]*")
# RFC 1939 §7: one to 70 octets from 0x21 to 0x7E. Longer ones exist; they do no harm up to the length of a line.
_UNIQUE_ID: Final = re.compile(rb"[!-~]+")
_LINE_END: Final = re.compile(r"[\r\n\0]")


class Shape(enum.Enum):
    """What comes behind a +OK."""

    #: Nothing.
    LINE = "a line"
    #: Lines up to one of a single dot, collected.
    LISTING = "a listing"
    #: A message up to the line of a single dot, handed on as it comes.
    MESSAGE = "a message"


@dataclass(slots=True, eq=False)
class Command:
    """A command on its way, told from others by identity.

    `shown` is how it may be logged. `responses` are given to challenges, one for each. `alone`: nothing else is under
    way while it is.
    """

    octets: bytes = field(repr=False)
    shape: Shape = Shape.LINE
    shown: str = ""
    alone: bool = False
    responses: list[bytes] = field(default_factory=list, repr=False)


class ArgumentError(ValueError):
    """What was given cannot stand in a command, for it would end its line."""


def _argument(text: str) -> bytes:
    if _LINE_END.search(text):
        raise ArgumentError("a line end or NUL in a user name or password")
    return text.encode()


def greeting() -> Command:
    """What stands for the server's first words, which nobody asked for."""
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
    """AUTH PLAIN (RFC 5034), with its response on the same line where that is short enough (§4).

    @raise ArgumentError: NUL in name or password.
    """
    _argument(name + text)
    response = plain_response(name, text)
    line = b"AUTH PLAIN " + response
    if len(line) <= MAX_COMMAND_LINE:
        return Command(line, shown="AUTH PLAIN", alone=True)
    return Command(b"AUTH PLAIN\r\n", shown="AUTH PLAIN", alone=True, responses=[response])


def auth_login(name: str, text: str) -> Command:
    """AUTH LOGIN, for servers that have nothing better."""
    return Command(b"AUTH LOGIN\r\n", shown="AUTH LOGIN", alone=True, responses=login_responses(name, text))


def auth_xoauth2(name: str, token: str) -> Command:
    """AUTH XOAUTH2. A refusal comes as a challenge first, to be answered by an empty line; tokens seldom fit on the
    command's line, and some servers take none there."""
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
    """TOP: the header section and so many lines."""
    return Command(b"TOP %d %d\r\n" % (message, lines), Shape.MESSAGE, "TOP")


def dele(message: int) -> Command:
    """DELE."""
    return Command(b"DELE %d\r\n" % message, shown="DELE")


def noop() -> Command:
    """NOOP."""
    return Command(b"NOOP\r\n", shown="NOOP")


def rset() -> Command:
    """RSET: deletes are void."""
    return Command(b"RSET\r\n", shown="RSET")


def end() -> Command:
    """QUIT: deletes are carried out (RFC 1939 §6)."""
    return Command(b"QUIT\r\n", shown="QUIT", alone=True)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What CAPA tells: keywords in upper case, each with its parameters as they stand."""

    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.offered

    @property
    def mechanisms(self) -> frozenset[str]:
        """The mechanisms of AUTH, in upper case."""
        return frozenset(mechanism.upper() for mechanism in self.offered.get("SASL", ()))


def capabilities(lines: Iterable[bytes]) -> Capabilities:
    """What the lines of CAPA offer (RFC 2449 §3); a line that is no capability offers nothing."""
    offered: dict[str, tuple[str, ...]] = {}
    for line in lines:
        words = line.decode("ascii", "replace").split()
        if words and _CAPABILITY.fullmatch(words[0]):
            keyword = words[0].upper()
            offered[keyword] = offered.get(keyword, ()) + tuple(words[1:])
    return Capabilities(offered)


def unique_ids(lines: Iterable[bytes]) -> dict[int, str]:
    """Message numbers with unique ids (RFC 1939 §7); a line that cannot be read names no message."""
    found: dict[int, str] = {}
    for line in lines:
        first, _, second = line.partition(b" ")
        message = number(first)
        second = second.strip(b" ")
        if message and _UNIQUE_ID.fullmatch(second):
            found[message] = second.decode("ascii")
    return found


def octets_of(lines: Iterable[bytes]) -> dict[int, int]:
    """Message numbers with sizes in octets (RFC 1939 §5, LIST); servers may add words behind."""
    found: dict[int, int] = {}
    for line in lines:
        words = line.split(b" ", 2)
        message = number(words[0])
        octets = number(words[1]) if len(words) > 1 else None
        if message and octets is not None:
            found[message] = octets
    return found
