"""SMTP client commands as octets, and the extensions in a reply to EHLO."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from emailsys.mail.address import Address, domain_key
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Forward, Transmission
from emailsys.wire.sasl_client import login_responses, plain_response, xoauth2_response

_KEYWORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-]*")
# RFC 1870 §3: 1*20DIGIT.
_SIZE: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Extensions:
    """The extensions of a server: EHLO keywords in upper case, each with its unchanged parameters."""

    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: The maximum size of a message in octets (RFC 1870); None if there is no fixed limit.
    size: int | None = None

    @property
    def shown(self) -> tuple[str, ...]:
        """Each extension with its parameters, for display."""
        return tuple(" ".join((keyword, *words)) for keyword, words in self.offered.items())

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.offered

    @property
    def mechanisms(self) -> frozenset[str]:
        """The SASL mechanisms of AUTH, in upper case."""
        return frozenset(mechanism.upper() for mechanism in self.offered.get("AUTH", ()))


def extensions_of(reply: Reply) -> Extensions:
    """Parse the extensions in a positive reply to EHLO (RFC 5321 §4.1.1.1). Malformed lines are ignored."""
    offered: dict[str, tuple[str, ...]] = {}
    for line in reply.text.split("\n")[1:]:
        # Old servers wrote "AUTH=LOGIN", before RFC 2554.
        words = line.replace("AUTH=", "AUTH ", 1).split()
        if words and _KEYWORD.fullmatch(words[0]):
            keyword = words[0].upper()
            offered[keyword] = offered.get(keyword, ()) + tuple(words[1:])
    limit = offered.get("SIZE", ())
    size = int(limit[0]) if limit and _SIZE.fullmatch(limit[0]) else 0
    return Extensions(offered, size or None)


@lru_cache(maxsize=4096)
def _path(address: Address | None, utf8: bool) -> str:
    """Write a path without angle brackets. Without SMTPUTF8 the domain is sent as A-labels (RFC 5891 §4.4)."""
    if address is None:
        return ""
    if utf8 or address.is_ascii:
        return str(address)
    return str(Address(address.local, domain_key(address.domain)))


def needs_smtputf8(address: Address | None) -> bool:
    """Whether an address requires SMTPUTF8 (RFC 6531 §3.2): a domain has an ASCII form, a local part has none."""
    if address is None or address.is_ascii:
        return False
    return not (address.local.isascii() and domain_key(address.domain).isascii())


def mail(transmission: Transmission, extensions: Extensions, utf8: bool) -> bytes:
    """Return MAIL with the parameters that the server supports."""
    offered = extensions.offered
    line = f"MAIL FROM:<{_path(transmission.reverse_path, utf8)}>"
    if "SIZE" in offered:
        line += f" SIZE={transmission.octets}"
    for word in transmission.parameters.words(offered, utf8):
        line += f" {word}"
    return f"{line}\r\n".encode()


def rcpt(forward: Forward, extensions: Extensions, utf8: bool) -> bytes:
    """Return RCPT with the parameters that the server supports."""
    line = f"RCPT TO:<{_path(forward.forward_path, utf8)}>"
    if "DSN" in extensions.offered:
        # In ASCII, which is valid with and without SMTPUTF8.
        for word in forward.dsn.parameters():
            line += f" {word}"
    return f"{line}\r\n".encode()


def auth_plain(username: str, password: str) -> bytes:
    """Return AUTH PLAIN with its initial response (RFC 4616 §2)."""
    return b"AUTH PLAIN " + plain_response(username, password)


def login_lines(mechanisms: frozenset[str], username: str, password: str, token: bool) -> list[bytes]:
    """Return the lines of a login: the command, then a response for each challenge. Empty if no mechanism fits.

    @param token: whether the password is a bearer token. XOAUTH2 rejects it by a challenge, which requires an empty
        response.
    """
    if token:
        return [b"AUTH XOAUTH2 " + xoauth2_response(username, password), b"\r\n"] if "XOAUTH2" in mechanisms else []
    if "PLAIN" in mechanisms:
        return [auth_plain(username, password)]
    return [b"AUTH LOGIN\r\n", *login_responses(username, password)] if "LOGIN" in mechanisms else []
