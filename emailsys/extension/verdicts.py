"""Verdicts of a check. Each is valid from its construction on: no text of it can add a line to a reply or a header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from emailsys.mail.address import Address, parse

# RFC 3463 §2: class, subject and detail.
_ENHANCED: Final = re.compile(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)
# RFC 5322 §3.6.8, within the 77 octets that RFC 5322 §2.1.1 leaves on a line of 78.
_FIELD_NAME: Final = re.compile(r"[!-9;-~]{1,77}", re.ASCII)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# RFC 5322 §2.1.1: octets of a line without its CRLF.
_MAX_LINE: Final = 998
# Characters of a reply: it fits into one line (RFC 5321 §4.5.3.1.5) even if each of them is escaped in four octets.
_MAX_TEXT: Final = 400


def _checked_text(what: str, text: str, most: int = _MAX_TEXT) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} is {type(text).__name__}, not str")
    if _CONTROLS.search(text):
        raise ValueError(f"{what} has a line break or another control character: {text[:100]!r}")
    if len(text) > most:
        raise ValueError(f"{what} has {len(text)} characters, at most {most} are allowed")


def _checked_reply(code: int, enhanced: str, text: str, first: int) -> None:
    if type(code) is not int or code // 100 != first:
        raise ValueError(f"the code of the reply is {code!r}; allowed: {first}00 to {first}99")
    if not isinstance(enhanced, str) or not _ENHANCED.fullmatch(enhanced) or enhanced[0] != str(first):
        raise ValueError(f"the enhanced status code is {enhanced!r}; allowed: {first}.x.x (RFC 3463)")
    _checked_text("the text of the reply", text)


@dataclass(frozen=True, slots=True)
class Accept:
    """The checks after this one are not asked at this point of the session. A later point asks all of them again."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse with a permanent reply.

    @raise ValueError: the code is not 5xx, or the text has a line break.
    """

    text: str = "refused by a check of this system"
    code: int = 550
    enhanced: str = "5.7.1"

    def __post_init__(self) -> None:
        _checked_reply(self.code, self.enhanced, self.text, 5)


@dataclass(frozen=True, slots=True)
class Defer:
    """Refuse with a temporary reply: the client tries again later.

    @raise ValueError: the code is not 4xx, or the text has a line break.
    """

    text: str = "try again later"
    code: int = 450
    enhanced: str = "4.7.1"

    def __post_init__(self) -> None:
        _checked_reply(self.code, self.enhanced, self.text, 4)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Accept the message, but deliver it to the address `checks.quarantine` of the configuration only.

    @raise ValueError: the reason has a line break.
    """

    reason: str

    def __post_init__(self) -> None:
        _checked_text("the reason", self.reason)


@dataclass(frozen=True, slots=True)
class AddField:
    """Put a header field in front of the message. The value is ASCII; encode other text as RFC 2047 says.

    @raise ValueError: the name or the value is not one of RFC 5322.
    """

    name: str
    value: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _FIELD_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not the name of a header field (RFC 5322)")
        _checked_text("the value of the field", self.value, _MAX_LINE - len(self.name) - 2)
        if not self.value.isascii():
            raise ValueError(f"the value of {self.name} has characters that are not ASCII; encode it (RFC 2047)")


@dataclass(frozen=True, slots=True)
class Redirect:
    """Deliver to this address instead: a recipient, or from every other point of the session all recipients.

    @raise ValueError: it is not an address with a domain.
    """

    address: str

    def __post_init__(self) -> None:
        if not parsed(self.address).domain:
            raise ValueError(f"{self.address!r} has no domain")


def parsed(address: str) -> Address:
    """Return the address in a text.

    @raise ValueError: there is none.
    """
    if not isinstance(address, str):
        raise TypeError(f"the address is {type(address).__name__}, not str")
    return parse(address)


Verdict = Accept | Refuse | Defer | Quarantine | AddField | Redirect
VERDICTS: Final = (Accept, Refuse, Defer, Quarantine, AddField, Redirect)
