"""Links of a message: numbered as its text shows them, and checked before one is opened."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from emailsys.client.opening.values import OpeningError

# Kinds of targets that are opened. Others run programs, or read files of this computer.
_SCHEMES: Final = ("http", "https")
# A note at the end of HTML that was converted to text, and a target in running text.
_NOTE: Final = re.compile(r"^[> ]*\[(\d{1,5})\] ((?:https?://|mailto:)\S+)$", re.M | re.I)
_TARGET: Final = re.compile(r"(?<![\w/])(?:https?://|mailto:)[^\s<>\"\\^`{|}]+", re.I)
# Signs that end a sentence rather than a target.
_AFTER: Final = ".,;:!?'\u2019\u201d\u00bb\u2026*_"
_MAX_LINKS: Final = 2_000
_MAX_TARGET: Final = 8_000
# Signs that no link has as they are. Behind the host they are percent-encoded, which changes no meaning.
_ENCODED: Final = re.compile('["<>^`{|}]')
# ASCII characters of a host. Of others, such as "%", programs make different hosts.
_HOST: Final = re.compile("[A-Za-z0-9._-]*")
# A host whose last label is a number is an address, for some programs in octal or hexadecimal.
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.I)
_DIFFERENT: Final = "The link cannot be opened: it has characters that programs read in different ways."


@dataclass(frozen=True, slots=True)
class Link:
    """A link: its number, and its whole target."""

    number: int
    target: str


def links_of(body: str) -> list[Link]:
    """Return the links of a message's text. A note keeps its number; targets in running text get the next ones.

    @param body: the text as it is shown, safe for a terminal.
    """
    # Several notes may have the same target.
    notes: dict[int, str] = {}
    for note in _NOTE.finditer(body):
        if len(notes) < _MAX_LINKS:
            notes.setdefault(int(note[1]), note[2])
    links = [Link(number, target) for number, target in notes.items()]
    found = set(notes.values())
    following = max(notes, default=0)
    for one in _TARGET.finditer(body):
        target = _without_end(one[0])
        if target not in found and one[0] not in found and len(links) < _MAX_LINKS:
            following += 1
            found.add(target)
            links.append(Link(following, target))
    return sorted(links, key=lambda link: link.number)


def _without_end(target: str) -> str:
    """Return a target without the signs of the sentence around it, in linear time. A bracket it opens belongs to it."""
    end = len(target)
    opened = {")": target.count("("), "]": target.count("[")}
    closed = {one: target.count(one) for one in opened}
    while end:
        last = target[end - 1]
        if last in closed and opened[last] < closed[last]:
            closed[last] -= 1
        elif last not in _AFTER:
            break
        end -= 1
    return target[:end]


def checked(target: str) -> str:
    """Return a target of the web that may be opened, and that every program reads in the same way.

    A mailto: link is for the composer, and is not checked here.

    @raise OpeningError: it is of another kind, has no host, or programs would take different hosts from it.
    """
    try:
        parts = urlsplit(target)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise OpeningError(f"The link cannot be opened: {error}.") from error
    if parts.scheme.lower() not in _SCHEMES:
        raise OpeningError("Only links of http and https are opened.")
    if len(target) > _MAX_TARGET or any(one.isspace() or not one.isprintable() for one in target):
        raise OpeningError("The link cannot be opened: it is too long, or has blanks or invisible characters.")
    # Browsers read "\" as "/", so that another host comes before it.
    if "\\" in target:
        raise OpeningError(_DIFFERENT)
    if not host:
        raise OpeningError("The link cannot be opened: it names no host.")
    if parts.netloc.count("@") > 1 or _ENCODED.search(parts.netloc) or not _is_clear(host, parts.netloc):
        raise OpeningError(_DIFFERENT)
    return _ENCODED.sub(lambda found: f"%{ord(found[0]):02X}", target)


def _is_clear(host: str, netloc: str) -> bool:
    """Return whether all programs take a host for the same one: a name, or an address in its usual form."""
    import ipaddress

    try:
        if "[" in netloc:
            return f"[{host}]" in netloc.lower() and "%" not in host and ipaddress.IPv6Address(host).version == 6
        # Browsers normalize first: there are other forms of "/", "%" and digits.
        plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".")
        if _NUMERIC.fullmatch(plain):
            return ipaddress.IPv4Address(host).version == 4
        return bool(_HOST.fullmatch("".join(one for one in plain if one.isascii())))
    except ValueError:
        return False


def question(target: str) -> str:
    """Return the question before a link is opened: the whole target, and its host as the network knows it."""
    parts = urlsplit(target)
    host = parts.hostname or ""
    if not host.isascii():
        import idna

        try:
            host = f"{host} ({idna.encode(host, uts46=True).decode()})"
        except idna.IDNAError:
            host = f"{host} (which is no name of a host)"
    if parts.port is not None:
        host = f"{host}, port {parts.port}"
    return f"Open this link?\n\n{target}\n\nHost: {host}"
