"""The commands of an SMTP client as octets, and what a server's reply to EHLO offers."""

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
    """What a server offers: its EHLO keywords in upper case, each with its parameters as they stand."""

    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: The most octets that a message may have (RFC 1870); None where there is no fixed limit.
    size: int | None = None

    @property
    def shown(self) -> tuple[str, ...]:
        """Each extension with its parameters, as a person reads it."""
        return tuple(" ".join((keyword, *words)) for keyword, words in self.offered.items())

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.offered

    @property
    def mechanisms(self) -> frozenset[str]:
        """The SASL mechanisms of AUTH, in upper case."""
        return frozenset(mechanism.upper() for mechanism in self.offered.get("AUTH", ()))


def extensions_of(reply: Reply) -> Extensions:
    """What a positive reply to EHLO offers (RFC 5321 §4.1.1.1); a line that is no keyword offers nothing."""
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
    """A path without its angle brackets. Without SMTPUTF8 a domain goes as A-labels (RFC 5891 §4.4)."""
    if address is None:
        return ""
    if utf8 or address.is_ascii:
        return str(address)
    return str(Address(address.local, domain_key(address.domain)))


def needs_smtputf8(address: Address | None) -> bool:
    """Whether an address can't be written without SMTPUTF8 (RFC 6531 §3.2): its domain can, its local part can't."""
    if address is None or address.is_ascii:
        return False
    return not (address.local.isascii() and domain_key(address.domain).isascii())


def mail(transmission: Transmission, extensions: Extensions, utf8: bool) -> bytes:
    """MAIL with the parameters that the server knows."""
    offered = extensions.offered
    line = f"MAIL FROM:<{_path(transmission.reverse_path, utf8)}>"
    if "SIZE" in offered:
        line += f" SIZE={transmission.octets}"
    for word in transmission.parameters.words(offered, utf8):
        line += f" {word}"
    return f"{line}\r\n".encode()


def rcpt(forward: Forward, extensions: Extensions, utf8: bool) -> bytes:
    """RCPT with the parameters that the server knows."""
    line = f"RCPT TO:<{_path(forward.forward_path, utf8)}>"
    if "DSN" in extensions.offered:
        # In ASCII, so that it may go whether the transaction has SMTPUTF8 or not.
        for word in forward.dsn.parameters():
            line += f" {word}"
    return f"{line}\r\n".encode()


def auth_plain(username: str, password: str) -> bytes:
    """AUTH PLAIN with its initial response (RFC 4616 §2)."""
    return b"AUTH PLAIN " + plain_response(username, password)


def login_lines(mechanisms: frozenset[str], username: str, password: str, token: bool) -> list[bytes]:
    """What is said to log in: the command, then a line for each challenge. Nothing where no mechanism will do.

    @param token: the password is a bearer token. XOAUTH2 refuses it by a challenge first, which wants an empty line.
    """
    if token:
        return [b"AUTH XOAUTH2 " + xoauth2_response(username, password), b"\r\n"] if "XOAUTH2" in mechanisms else []
    if "PLAIN" in mechanisms:
        return [auth_plain(username, password)]
    return [b"AUTH LOGIN\r\n", *login_responses(username, password)] if "LOGIN" in mechanisms else []
