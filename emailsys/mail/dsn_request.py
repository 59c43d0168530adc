"""What a sender asks of delivery status notifications: NOTIFY, ORCPT, RET and ENVID (RFC 3461), read and printed."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from emailsys.mail.address import Address

# RFC 3461 §4: xchar is any printing ASCII character but "+" and "=".
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR: Final = re.compile(r"[^!-*,-<>-~]")
# RFC 3461 §4.4: what the value stands for is printable ASCII with white space.
_PRINTABLE: Final = re.compile(r"[ -~]*")
# RFC 3461 §4.2: an atom, registered by IANA.
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+")
# RFC 6533 §3: neither form of a utf-8 address has controls, "+" or "=" as themselves; "\x{HEX}" stands for a character.
_UTF8_ADDRESS: Final = re.compile(r"(?:[!-*,-<>-\[\]-~\u00a0-\ud7ff\ue000-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})+")
_EMBEDDED: Final = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_NOT_IN_UTF8_XTEXT: Final = re.compile(r"[^!-*,-<>-\[\]-~]")
_NOT_IN_UTF8_UNITEXT: Final = re.compile(r"[^!-*,-<>-\[\]-~\u00a0-\ud7ff\ue000-\U0010ffff]")

# RFC 3461 §4.4 and §4.2, in characters as they stand in the command.
MAX_ENVID: Final = 100
MAX_ORCPT: Final = 500


class DSNParameterError(ValueError):
    """A parameter's value is malformed (501 5.5.4); the message says what is wrong, in words fit for a reply."""


class Notify(enum.Flag):
    """When the sender wants to hear of a recipient (RFC 3461 §4.1). No flag at all is NOTIFY=NEVER."""

    NEVER = 0
    SUCCESS = 1
    FAILURE = 2
    DELAY = 4


# RFC 3461 §4.1: without the parameter a failure must be told, and a delay may.
DEFAULT_NOTIFY: Final = Notify.FAILURE | Notify.DELAY


class Return(enum.Enum):
    """How much of the message a failure returns (RFC 3461 §4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


@dataclass(frozen=True, slots=True)
class OriginalRecipient:
    """The recipient as the sender's system knew it (RFC 3461 §4.2): the type in lower case, the address decoded."""

    address_type: str
    address: str

    def encode(self, unicode: bool = False) -> str:
        """The value of ORCPT and of the Original-Recipient field.

        @param unicode: whether UTF-8 may stand in it as it is (RFC 6533 §3, utf-8-addr-unitext); else it is escaped.
        """
        if self.address_type == "utf-8":
            outside = _NOT_IN_UTF8_UNITEXT if unicode else _NOT_IN_UTF8_XTEXT
            return "utf-8;" + outside.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", self.address)
        return f"{self.address_type};{encode_xtext(self.address)}"


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """RET and ENVID of MAIL; None where the sender did not say."""

    ret: Return | None = None
    envid: str | None = None

    def parameters(self) -> tuple[str, ...]:
        """The parameters as a client passes them on (RFC 3461 §5.2.1)."""
        given = []
        if self.ret is not None:
            given.append(f"RET={self.ret.value}")
        if self.envid is not None:
            given.append(f"ENVID={encode_xtext(self.envid)}")
        return tuple(given)


@dataclass(frozen=True, slots=True)
class RecipientRequest:
    """NOTIFY and ORCPT of RCPT; None where the sender did not say."""

    notify: Notify | None = None
    orcpt: OriginalRecipient | None = None

    def wants(self, notice: Notify) -> bool:
        """Whether a notice of that kind is due."""
        return notice in (DEFAULT_NOTIFY if self.notify is None else self.notify)

    def relayed_from(self, forward_path: Address) -> RecipientRequest:
        """The request with an ORCPT, made of the forward-path where the sender gave none (RFC 3461 §5.2.1 b)."""
        if self.orcpt is not None:
            return self
        return RecipientRequest(self.notify, original_recipient(forward_path))

    def parameters(self, smtputf8: bool = False) -> tuple[str, ...]:
        """The parameters as a client passes them on (RFC 3461 §5.2.1), without an ORCPT that became too long.

        @param smtputf8: whether UTF-8 may stand in them as it is.
        """
        given = []
        if self.notify is not None:
            given.append(f"NOTIFY={notify_value(self.notify)}")
        if self.orcpt is not None:
            # An address that we escape, or name as the original recipient, may grow past the limit of RFC 3461 §4.2.
            value = self.orcpt.encode(smtputf8)
            if len(value) <= MAX_ORCPT:
                given.append(f"ORCPT={value}")
        return tuple(given)


NOTHING_ASKED: Final = MessageRequest()
NOTHING_ASKED_FOR_RECIPIENT: Final = RecipientRequest()


def original_recipient(address: Address) -> OriginalRecipient:
    """An address of ours as an original recipient."""
    return OriginalRecipient("rfc822" if address.is_ascii else "utf-8", str(address))


def encode_xtext(text: str) -> str:
    """Printable ASCII as xtext."""
    return _NOT_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """What an xtext stands for.

    @raise DSNParameterError: it is none, or stands for what is not printable ASCII.
    """
    if not _XTEXT.fullmatch(text):
        raise DSNParameterError("malformed xtext")
    decoded = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), text)
    if not _PRINTABLE.fullmatch(decoded):
        raise DSNParameterError("xtext that stands for unprintable octets")
    return decoded


def notify_value(notify: Notify) -> str:
    """NOTIFY's value."""
    return ",".join(str(flag.name) for flag in notify) or "NEVER"


def parse_notify(value: str) -> Notify:
    """Read NOTIFY's value, without regard to case.

    @raise DSNParameterError: it is none.
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
    """Read RET's value, without regard to case.

    @raise DSNParameterError: it is none.
    """
    try:
        return Return(value.upper())
    except ValueError:
        raise DSNParameterError("RET is FULL or HDRS") from None


def parse_envid(value: str) -> str:
    """Read ENVID's value.

    @raise DSNParameterError: it is none, or too long.
    """
    if not value or len(value) > MAX_ENVID:
        raise DSNParameterError(f"ENVID has 1 to {MAX_ENVID} characters")
    return decode_xtext(value)


def parse_orcpt(value: str) -> OriginalRecipient:
    """Read ORCPT's value.

    @raise DSNParameterError: it is none, or too long.
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
