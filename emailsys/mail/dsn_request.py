"""DSN requests of a sender: parse and print NOTIFY, ORCPT, RET and ENVID (RFC 3461)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from emailsys.mail.address import Address

# RFC 3461 §4: xchar is any printable ASCII character except "+" and "=".
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR: Final = re.compile(r"[^!-*,-<>-~]")
# RFC 3461 §4.4: the decoded value is printable ASCII with white space.
_PRINTABLE: Final = re.compile(r"[ -~]*")
# RFC 3461 §4.2: an atom, registered by IANA.
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+")
# RFC 6533 §3: a utf-8 address has no literal controls, "+" or "="; "\x{HEX}" is a character.
_UTF8_ADDRESS: Final = re.compile(r"(?:[!-*,-<>-\[\]-~\u00a0-\ud7ff\ue000-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})+")
_EMBEDDED: Final = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_NOT_IN_UTF8_XTEXT: Final = re.compile(r"[^!-*,-<>-\[\]-~]")
_NOT_IN_UTF8_UNITEXT: Final = re.compile(r"[^!-*,-<>-\[\]-~\u00a0-\ud7ff\ue000-\U0010ffff]")

# RFC 3461 §4.4 and §4.2, in characters of the command.
MAX_ENVID: Final = 100
MAX_ORCPT: Final = 500


class DSNParameterError(ValueError):
    """The value of a parameter is malformed (501 5.5.4). The message names the fault and can be part of a reply."""


class Notify(enum.Flag):
    """The events that the sender wants reports on (RFC 3461 §4.1). No flag at all is NOTIFY=NEVER."""

    NEVER = 0
    SUCCESS = 1
    FAILURE = 2
    DELAY = 4


# RFC 3461 §4.1: without the parameter, a failure must be reported and a delay may be.
DEFAULT_NOTIFY: Final = Notify.FAILURE | Notify.DELAY


class Return(enum.Enum):
    """How much of the message a failure report returns (RFC 3461 §4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


@dataclass(frozen=True, slots=True)
class OriginalRecipient:
    """The recipient as the sender specified it (RFC 3461 §4.2): type in lower case, address decoded."""

    address_type: str
    address: str

    def encode(self, unicode: bool = False) -> str:
        """Return the value of ORCPT and of the Original-Recipient field.

        @param unicode: whether to write UTF-8 unescaped (RFC 6533 §3, utf-8-addr-unitext).
        """
        if self.address_type == "utf-8":
            outside = _NOT_IN_UTF8_UNITEXT if unicode else _NOT_IN_UTF8_XTEXT
            return "utf-8;" + outside.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", self.address)
        return f"{self.address_type};{encode_xtext(self.address)}"


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """RET and ENVID of MAIL, None if absent."""

    ret: Return | None = None
    envid: str | None = None

    def parameters(self) -> tuple[str, ...]:
        """Return the parameters that a client passes on (RFC 3461 §5.2.1)."""
        given = []
        if self.ret is not None:
            given.append(f"RET={self.ret.value}")
        if self.envid is not None:
            given.append(f"ENVID={encode_xtext(self.envid)}")
        return tuple(given)


@dataclass(frozen=True, slots=True)
class RecipientRequest:
    """NOTIFY and ORCPT of RCPT, None if absent."""

    notify: Notify | None = None
    orcpt: OriginalRecipient | None = None

    def wants(self, notice: Notify) -> bool:
        """Whether the sender wants a notification of that kind."""
        return notice in (DEFAULT_NOTIFY if self.notify is None else self.notify)

    def relayed_from(self, forward_path: Address) -> RecipientRequest:
        """Return the request with an ORCPT: the given one, or the forward-path (RFC 3461 §5.2.1 b)."""
        if self.orcpt is not None:
            return self
        return RecipientRequest(self.notify, original_recipient(forward_path))

    def parameters(self, smtputf8: bool = False) -> tuple[str, ...]:
        """Return the parameters that a client passes on (RFC 3461 §5.2.1), without an ORCPT that became too long.

        @param smtputf8: whether to write UTF-8 unescaped.
        """
        given = []
        if self.notify is not None:
            given.append(f"NOTIFY={notify_value(self.notify)}")
        if self.orcpt is not None:
            # An ORCPT that we escape or add ourselves may exceed the limit of RFC 3461 §4.2.
            value = self.orcpt.encode(smtputf8)
            if len(value) <= MAX_ORCPT:
                given.append(f"ORCPT={value}")
        return tuple(given)


NOTHING_ASKED: Final = MessageRequest()
NOTHING_ASKED_FOR_RECIPIENT: Final = RecipientRequest()


def original_recipient(address: Address) -> OriginalRecipient:
    """Return an address of our own as an original recipient."""
    return OriginalRecipient("rfc822" if address.is_ascii else "utf-8", str(address))


def encode_xtext(text: str) -> str:
    """Encode printable ASCII as xtext."""
    return _NOT_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """Decode an xtext.

    @raise DSNParameterError: the text is not xtext, or does not decode to printable ASCII.
    """
    if not _XTEXT.fullmatch(text):
        raise DSNParameterError("malformed xtext")
    decoded = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), text)
    if not _PRINTABLE.fullmatch(decoded):
        raise DSNParameterError("xtext that stands for unprintable octets")
    return decoded


def notify_value(notify: Notify) -> str:
    """Return the value of NOTIFY."""
    return ",".join(str(flag.name) for flag in notify) or "NEVER"


def parse_notify(value: str) -> Notify:
    """Parse the value of NOTIFY, ignoring case.

    @raise DSNParameterError: the value is malformed.
    """
    words = value.upper().split(",")
    if words == ["NEVER"]:
        return Notify.NEVER
    notify = Notify.NEVER
    for word in words:
        if word not in ("SUCCESS", "FAILURE", "DELAY"):
            raise DSNParameterError("NOTIFY is NEVER or a list of SUCCESS, FAILURE, DELAY")
        notify |= Notify[word]
    return notify


def parse_ret(value: str) -> Return:
    """Parse the value of RET, ignoring case.

    @raise DSNParameterError: the value is malformed.
    """
    try:
        return Return(value.upper())
    except ValueError:
        raise DSNParameterError("RET is FULL or HDRS") from None


def parse_envid(value: str) -> str:
    """Parse the value of ENVID.

    @raise DSNParameterError: the value is malformed or too long.
    """
    if not value or len(value) > MAX_ENVID:
        raise DSNParameterError(f"ENVID has 1 to {MAX_ENVID} characters")
    return decode_xtext(value)


def parse_orcpt(value: str) -> OriginalRecipient:
    """Parse the value of ORCPT.

    @raise DSNParameterError: the value is malformed or too long.
    """
    if len(value) > MAX_ORCPT:
        raise DSNParameterError(f"ORCPT has at most {MAX_ORCPT} characters")
    address_type, semicolon, text = value.partition(";")
    if not semicolon or not text or not _ADDRESS_TYPE.fullmatch(address_type):
        raise DSNParameterError("ORCPT is an address type, a semicolon and an address")
    address_type = address_type.lower()
    if address_type != "utf-8":
        return OriginalRecipient(address_type, decode_xtext(text))
    if not _UTF8_ADDRESS.fullmatch(text):
        raise DSNParameterError("malformed utf-8 address")
    return OriginalRecipient(address_type, _EMBEDDED.sub(_embedded_character, text))


def _embedded_character(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF or point < 0x20 or 0x7F <= point < 0xA0:
        raise DSNParameterError("a utf-8 address stands for what is no character")
    return chr(point)
