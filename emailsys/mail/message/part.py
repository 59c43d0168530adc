"""A part of a message: its header fields, its type, and its decoded body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from emailsys.mail.message.charset_guess import html_charset
from emailsys.mail.message.charsets import decode_charset
from emailsys.mail.message.fields import (
    MAX_STRUCTURED,
    decode_words,
    field_text,
    is_media_type,
    lacks_semicolon,
    parse_value,
)
from emailsys.mail.message.transfer_encoding import decode_transfer, is_unencoded, meant_encoding, split_base64

# RFC 2046 §5.2.1. RFC 6532 §3.7: message/global allows UTF-8 in the header, and any transfer encoding.
_MESSAGES: Final = frozenset({"message/rfc822", "message/global"})
# RFC 2046 §5.2.2: a long message, cut into pieces. The first one has its header and begins its body.
_PARTIAL: Final = "message/partial"
_NO_VALUES: Final[dict[str, str]] = {}
# What programs write around the name of a charset.
_AROUND_CHARSET: Final = " \t\r\n\"'`\u201c\u201d\u2018\u2019"


@dataclass(frozen=True, slots=True)
class Field:
    """A header field: its name as written, and its folded value as octets without the final line end."""

    name: str
    value: bytes
    #: The charset of octets that are not UTF-8; "" for Windows-1252.
    charset: str = ""

    @property
    def text(self) -> str:
        """The value unfolded, encoded words not decoded: the form for parsing structured fields."""
        return field_text(self.value, self.charset)

    @property
    def decoded(self) -> str:
        """The value unfolded, encoded words decoded: the form for unstructured fields and for display."""
        return decode_words(self.text)


@dataclass(slots=True, eq=False)
class Part:
    """A message or a part of one. Positions are octets from the beginning of `source`.

    The header section is source[start:body_start], the body is source[body_start:end].

    @ivar number: "1" for the message, "1.2" for its second part, and so on.
    @ivar level: the nesting level, 0 for the message.
    """

    source: bytes = field(repr=False)
    number: str
    level: int
    start: int
    body_start: int = 0
    end: int = 0
    fields: tuple[Field, ...] = ()
    content_type: str = "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    encoding: str = "7bit"
    disposition: str = ""
    disposition_parameters: dict[str, str] = field(default_factory=lambda: _NO_VALUES)
    parts: list[Part] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    def first(self, name: str) -> Field | None:
        """Return the first field of that name."""
        lowered = name.lower()
        return next((one for one in self.fields if one.name.lower() == lowered), None)

    def text_of(self, name: str) -> str:
        """Return the first field of that name, unfolded; "" if there is none."""
        found = self.first(name)
        return found.text if found else ""

    def decoded_of(self, name: str) -> str:
        """Return the first field of that name, decoded; "" if there is none."""
        return decode_words(self.text_of(name))

    @property
    def header(self) -> bytes:
        """The header section as received, including the empty line after it."""
        return self.source[self.start : self.body_start]

    @property
    def raw(self) -> bytes:
        """The body as received."""
        return self.source[self.body_start : self.end]

    @property
    def charset(self) -> str:
        """The charset parameter in lower case; "" if there is none."""
        return self.parameters.get("charset", "").strip(_AROUND_CHARSET).lower().removeprefix("charset=").strip()

    @property
    def name(self) -> str:
        """The file name as the sender wrote it, "" if there is none. It is not safe to use as a path."""
        return self.disposition_parameters.get("filename") or self.parameters.get("name", "")

    @property
    def content_id(self) -> str:
        """The Content-ID without its brackets; "" if there is none."""
        return self.text_of("content-id").strip("<> \t")

    @property
    def is_message(self) -> bool:
        """Whether the content type is that of an embedded message, or of the first piece of one."""
        return self.content_type in _MESSAGES or self._is_first_piece

    @property
    def _is_first_piece(self) -> bool:
        return self.content_type == _PARTIAL and self.parameters.get("number", "").strip() == "1"

    @property
    def is_leaf(self) -> bool:
        """Whether the part has no parts of its own, so that its body can be decoded."""
        return not self.parts

    def decoded(self) -> tuple[bytes, list[str]]:
        """Decode the transfer encoding of the body. Returns the octets and the defects."""
        octets, defects = decode_transfer(self.raw, self.encoding)
        if self.encoding == "base64" and defects and self._is_unencoded(octets):
            return self.raw, ["it is declared as base64, but is plain text: shown as it is"]
        return octets, defects

    def _is_unencoded(self, decoded: bytes) -> bool:
        return self.content_type.startswith("text/") and is_unencoded(self.raw, decoded)

    def text(self) -> tuple[str, list[str]]:
        """Decode the body to text with LF line ends. Returns the text and the defects."""
        octets, defects = self.decoded()
        charset = self.charset
        if self.content_type == "text/html" and not charset:
            charset = html_charset(octets)
            if charset and not octets.isascii():
                defects.append(f"Content-Type names no charset: read as {charset[:40]}, which the HTML names")
        text, more = decode_charset(octets, charset)
        text = text.removeprefix("\ufeff")
        if self.encoding == "base64" and octets != self.raw and (added := split_base64(self.raw)[1]):
            text = f"{text.rstrip()}\n\n{decode_charset(added, charset)[0]}"
        return text.replace("\r\n", "\n").replace("\r", "\n"), [*defects, *more]

    def walk(self) -> Iterator[Part]:
        """Yield this part and all parts below it, in the order of the message."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting.extend(reversed(part.parts))


def describe(part: Part, default: str) -> None:
    """Set the attributes of a part from its MIME fields (RFC 2045 §5, §6; RFC 2183)."""
    seen: dict[str, Field] = {}
    for one in part.fields:
        lowered = one.name.lower()
        if lowered.startswith("content-"):
            if lowered in seen:
                part.defects.append(f"more than one {one.name} field: the first counts")
            else:
                seen[lowered] = one
    part.content_type = default
    if stated := seen.get("content-type"):
        if len(stated.value) > MAX_STRUCTURED:
            part.defects.append("Content-Type is too long")
        value, parameters = parse_value(stated.text)
        if is_media_type(value):
            part.content_type, part.parameters = value, parameters
            if lacks_semicolon(stated.text):
                part.defects.append(f"Content-Type lacks a semicolon: read as {value}")
            if value == _PARTIAL:
                whole = f" of {total[:10]}" if (total := parameters.get("total", "").strip()) else ""
                number = parameters.get("number", "").strip()[:10] or "?"
                part.defects.append(
                    f"piece {number}{whole} of a longer message: the other pieces are in messages of their own"
                )
        else:
            # RFC 2045 §5.2: treat it as text.
            part.content_type = "text/plain"
            part.defects.append(f"malformed Content-Type: {value[:40]!r}")
    if stated := seen.get("content-transfer-encoding"):
        part.encoding = parse_value(stated.text)[0][:100] or "7bit"
        if (meant := meant_encoding(part.encoding)) != part.encoding:
            part.defects.append(f"unknown transfer encoding {part.encoding[:40]!r}: read as {meant}")
            part.encoding = meant
    if stated := seen.get("content-disposition"):
        part.disposition, part.disposition_parameters = parse_value(stated.text)
