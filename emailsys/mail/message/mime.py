"""MIME parser: splits a message into its parts by position, in one pass. No input makes it raise or run forever."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from emailsys.mail.message.charsets import decode_charset
from emailsys.mail.message.fields import MAX_STRUCTURED, decode_words, field_text, is_media_type, parse_value
from emailsys.mail.message.transfer_encoding import IDENTITY, decode_transfer

# No real message nests deeper. A part that does is shown as one part.
MAX_LEVELS: Final = 100
MAX_PARTS: Final = 10_000
# Fields kept of one header section. The section is always read to its end.
MAX_FIELDS: Final = 2_000
# RFC 2046 §5.1.1 allows 70, but some programs write more.
_MAX_BOUNDARY: Final = 190
_DELIMITER: Final = re.compile(rb"^--([^\r\n]{0,200})", re.M)
# RFC 5322 §2.2: a field name is printable ASCII without colon. A line that begins with a blank continues a field.
_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?")
_BLANK_LINE: Final = re.compile(rb"\r?\n")
# RFC 2046 §5.2.1. RFC 6532 §3.7: message/global allows UTF-8 in the header, and any transfer encoding.
_MESSAGES: Final = frozenset({"message/rfc822", "message/global"})
_NO_VALUES: Final[dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Field:
    """A header field: its name as written, and its folded value as octets without the final line end."""

    name: str
    value: bytes

    @property
    def text(self) -> str:
        """The value unfolded, encoded words not decoded: the form for parsing structured fields."""
        return field_text(self.value)

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
        return self.parameters.get("charset", "").strip().lower()

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
        """Whether the content type is that of an embedded message."""
        return self.content_type in _MESSAGES

    @property
    def is_leaf(self) -> bool:
        """Whether the part has no parts of its own, so that its body can be decoded."""
        return not self.parts

    @property
    def is_attachment(self) -> bool:
        """Whether the part is an attachment and not part of the text.

        An attachment declares itself, has a file name, or is neither text nor a picture shown in the text.
        """
        if self.level == 0 and not self.name:
            return self.is_leaf and not self.content_type.startswith(("text/", "multipart/"))
        if self.content_type.startswith("multipart/") and not self.is_leaf:
            return False
        if self.disposition == "attachment" or self.name:
            return not (self.content_id and self.disposition != "attachment")
        return not self.content_type.startswith("text/") and not self.content_id

    def decoded(self) -> tuple[bytes, list[str]]:
        """Decode the transfer encoding of the body. Returns the octets and the defects."""
        return decode_transfer(self.raw, self.encoding)

    def text(self) -> tuple[str, list[str]]:
        """Decode the body to text with LF line ends. Returns the text and the defects."""
        octets, defects = self.decoded()
        text, more = decode_charset(octets, self.charset)
        return text.replace("\r\n", "\n").replace("\r", "\n"), [*defects, *more]

    def walk(self) -> Iterator[Part]:
        """Yield this part and all parts below it, in the order of the message."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting.extend(reversed(part.parts))


def _line_end(octets: bytes, at: int) -> int:
    end = octets.find(b"\n", at)
    return len(octets) if end < 0 else end + 1


class _Parser:
    """One pass over a message, with a stack of open parts and the boundaries that end them."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._open: list[Part] = []
        # The levels that each boundary belongs to, the innermost last; and the boundary of each open multipart.
        self._levels: dict[bytes, list[int]] = {}
        self._boundaries: dict[int, bytes] = {}
        self._count = 0

    def parse(self) -> Part:
        octets = self._octets
        root = Part(octets, "1", 0, 0)
        position = self._begin(root, "text/plain")
        while self._levels:
            found = _DELIMITER.search(octets, position)
            if found is None:
                break
            position = found.end()
            level, closing = self._level_of(found[1])
            if level is not None:
                position = self._delimiter(found.start(), position, level, closing)
        self._close_down_to(-1, len(octets))
        return root

    def _level_of(self, text: bytes) -> tuple[int | None, bool]:
        """Return the level of the multipart that a boundary belongs to, and whether it closes it (RFC 2046 §5.1.1).

        @param text: the rest of the line after "--".
        """
        token = text.rstrip(b" \t")
        for name, closing in ((token, False), (token.removesuffix(b"--"), True)):
            levels = self._levels.get(name)
            if levels and (not closing or name != token):
                return levels[-1], closing
        return None, False

    def _delimiter(self, at: int, position: int, level: int, closing: bool) -> int:
        """Handle a boundary line at `at`: end open parts and begin the next. Returns the position after it."""
        octets = self._octets
        # RFC 2046 §5.1.1: the line end before a boundary belongs to the boundary.
        cut = at - 1 if at and octets[at - 1 : at] == b"\n" else at
        if cut < at and cut and octets[cut - 1 : cut] == b"\r":
            cut -= 1
        self._close_down_to(level, cut)
        whole = self._open[level]
        if closing:
            self._forget(level)
            return position
        if self._count >= MAX_PARTS:
            whole.defects.append(f"more than {MAX_PARTS} parts: the rest is not shown")
            self._forget(level)
            return position
        begin = _line_end(octets, position)
        part = Part(octets, f"{whole.number}.{len(whole.parts) + 1}", whole.level + 1, begin)
        whole.parts.append(part)
        return self._begin(part, "message/rfc822" if whole.content_type == "multipart/digest" else "text/plain")

    def _begin(self, part: Part, default: str) -> int:
        """Read the header section of a part, and of a message in it. Returns the start of the body."""
        while True:
            self._count += 1
            part.body_start = self._read_fields(part)
            _describe(part, default)
            self._open.append(part)
            if part.content_type.startswith("multipart/"):
                self._expect(part)
                return part.body_start
            if not part.is_message:
                return part.body_start
            if part.encoding not in IDENTITY:
                if part.content_type == "message/rfc822":
                    part.defects.append("a message inside must not be encoded (RFC 2046 §5.2.1): not taken apart")
                return part.body_start
            if part.level + 1 >= MAX_LEVELS:
                part.defects.append(f"nested deeper than {MAX_LEVELS} levels: shown as one part")
                return part.body_start
            inside = Part(self._octets, f"{part.number}.1", part.level + 1, part.body_start)
            part.parts.append(inside)
            part, default = inside, "text/plain"

    def _expect(self, part: Part) -> None:
        boundary = part.parameters.get("boundary", "").rstrip(" \t").encode("utf-8", "surrogateescape")
        if not boundary:
            part.defects.append("multipart without a boundary")
        elif len(boundary) > _MAX_BOUNDARY:
            part.defects.append("boundary longer than allowed: not taken apart")
        elif part.level + 1 >= MAX_LEVELS:
            part.defects.append(f"nested deeper than {MAX_LEVELS} levels: shown as one part")
        else:
            if len(boundary) > 70:
                part.defects.append("boundary longer than 70 octets (RFC 2046 §5.1.1)")
            if part.encoding not in IDENTITY:
                part.defects.append("a multipart must not be encoded (RFC 2045 §6.4)")
            level = len(self._open) - 1
            self._levels.setdefault(boundary, []).append(level)
            self._boundaries[level] = boundary

    def _forget(self, level: int) -> bool:
        """Stop looking for the boundary of an open part. Returns whether it was still looked for."""
        boundary = self._boundaries.pop(level, None)
        if boundary is None:
            return False
        levels = self._levels[boundary]
        levels.remove(level)
        if not levels:
            del self._levels[boundary]
        return True

    def _close_down_to(self, level: int, end: int) -> None:
        """End all open parts above a level of the stack at the position `end`."""
        while len(self._open) > level + 1:
            part = self._open.pop()
            # A part ends at or after the parts in it, also where their empty headers took the line end of the boundary.
            part.end = end = max(end, part.body_start)
            if self._forget(len(self._open)):
                part.defects.append("the closing boundary is missing" if part.parts else "its boundary never comes")

    def _read_fields(self, part: Part) -> int:
        """Read the header section at part.start. Returns its end, where the body begins."""
        octets = self._octets
        fields: list[Field] = []
        at = part.start
        delimits = False
        while (found := _FIELD.match(octets, at)) is not None:
            delimits = octets.startswith(b"--", at) and self._is_delimiter(at)
            if delimits:
                break
            if len(fields) < MAX_FIELDS:
                fields.append(Field(found[1].decode("ascii"), found[2].rstrip(b"\r\n")))
            at = found.end()
        end = _BLANK_LINE.match(octets, at)
        if end is not None:
            at = end.end()
        elif at < len(octets) and not (delimits or (octets.startswith(b"--", at) and self._is_delimiter(at))):
            part.defects.append("the header ends with a line that is not a field")
        part.fields = tuple(fields)
        if len(fields) >= MAX_FIELDS:
            part.defects.append(f"more than {MAX_FIELDS} header fields: the rest is not shown")
        if not octets[part.start : at].isascii():
            try:
                octets[part.start : at].decode("utf-8")
            except UnicodeDecodeError:
                part.defects.append("8-bit octets in the header that are not UTF-8")
        return at

    def _is_delimiter(self, at: int) -> bool:
        found = _DELIMITER.match(self._octets, at)
        return found is not None and self._level_of(found[1])[0] is not None


def _describe(part: Part, default: str) -> None:
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
        else:
            # RFC 2045 §5.2: treat it as text.
            part.content_type = "text/plain"
            part.defects.append(f"malformed Content-Type: {value[:40]!r}")
    if stated := seen.get("content-transfer-encoding"):
        part.encoding = parse_value(stated.text)[0][:100] or "7bit"
    if stated := seen.get("content-disposition"):
        part.disposition, part.disposition_parameters = parse_value(stated.text)


def parse(octets: bytes) -> Part:
    """Parse a message whose lines end with CRLF or LF. Never raises; `defects` lists the faults of each part.

    Time and memory depend on the size of the message, not on its nesting.
    """
    return _Parser(octets).parse()


def parse_header(octets: bytes) -> Part:
    """Parse only the header section of the message. The part is a leaf with all the rest as its body."""
    part = _header(octets)
    _describe(part, "text/plain")
    return part


def read_fields(octets: bytes) -> Sequence[Field]:
    """Return the fields in the header section of the message, as `parse` reads them."""
    return _header(octets).fields


def _header(octets: bytes) -> Part:
    part = Part(octets, "1", 0, 0, end=len(octets))
    part.body_start = _Parser(octets)._read_fields(part)
    return part
