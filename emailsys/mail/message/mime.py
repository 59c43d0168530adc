"""MIME parser: splits a message into its parts by position, in one pass. No input makes it raise or run forever."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from emailsys.mail.message.embedded_files import take_out_files
from emailsys.mail.message.header_lines import BLANK_LINE, FIELD, MAX_BROKEN_LINES, broken_line_end
from emailsys.mail.message.part import Field, Part, describe
from emailsys.mail.message.raw_headers import read_raw_headers
from emailsys.mail.message.transfer_encoding import IDENTITY
from emailsys.mail.message.usual_form import header_start, usual_form

__all__ = ["MAX_FIELDS", "MAX_LEVELS", "MAX_PARTS", "Field", "Part", "parse", "parse_header", "read_fields"]

# No real message nests deeper. A part that does is shown as one part.
MAX_LEVELS: Final = 100
MAX_PARTS: Final = 10_000
# Fields kept of one header section. The section is always read to its end.
MAX_FIELDS: Final = 2_000
# RFC 2046 §5.1.1 allows 70, but some programs write more.
_MAX_BOUNDARY: Final = 190
_DELIMITER: Final = re.compile(rb"^--([^\r\n]{0,200})", re.M)
# A line that rather begins a part: a field of MIME follows it.
_LIKE_DELIMITER: Final = re.compile(rb"^--([^\s][^\r\n]{0,69}+)\r?\n(?=content-[a-z\-]{2,40}[ \t]*:)", re.M | re.I)
# Each guess searches the whole message. The searches for stated boundaries together read as much, too.
_MAX_GUESSES: Final = 5
# The From line of an mbox file in or above a header section: a field follows it.
_MBOX_LINE: Final = re.compile(rb"(?:>?From [^\r\n:][^\r\n]*\r?\n)+(?=[!-9;-~]+[ \t]*:)")


def _line_end(octets: bytes, at: int) -> int:
    end = octets.find(b"\n", at)
    return len(octets) if end < 0 else end + 1


class _Parser:
    """One pass over a message, with a stack of open parts and the boundaries that end them."""

    def __init__(self, octets: bytes) -> None:
        self._form = usual_form(octets)
        self._octets = octets = self._form.octets
        self._open: list[Part] = []
        # The levels that each boundary belongs to, the innermost last; and the boundary of each open multipart.
        self._levels: dict[bytes, list[int]] = {}
        self._boundaries: dict[int, bytes] = {}
        self._count = 0
        self._broken_left = MAX_BROKEN_LINES
        self._guesses_left = _MAX_GUESSES
        self._octets_left = _MAX_GUESSES * len(octets)
        #: The Unicode form that the whole message was in, or "".
        self.charset = self._form.charset
        #: The parts whose header sections have 8-bit octets that are not UTF-8.
        self.raw_headers: list[Part] = []

    def parse(self) -> Part:
        octets = self._octets
        root = self._root()
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

    def _root(self) -> Part:
        return Part(self._octets, "1", 0, self._form.start, defects=[*self._form.defects])

    def parse_header(self) -> Part:
        """Read the header section alone. All the rest is the body of one part."""
        root = self._root()
        root.body_start, root.end = self._read_fields(root), len(self._octets)
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
            describe(part, default)
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
            start, defects = header_start(self._octets, part.body_start)
            inside = Part(self._octets, f"{part.number}.1", part.level + 1, start, defects=defects)
            part.parts.append(inside)
            part, default = inside, "text/plain"

    def _expect(self, part: Part) -> None:
        boundary = part.parameters.get("boundary", "").rstrip(" \t").encode("utf-8", "surrogateescape")
        if (guessed := self._guessed_boundary(boundary, part.body_start)) is not None:
            part.defects.append("its boundary was guessed from the text")
            boundary = guessed
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

    def _guessed_boundary(self, stated: bytes, start: int) -> bytes | None:
        """Return the boundary that the body uses, if it lacks the one that Content-Type states."""
        if self._guesses_left <= 0 or self._octets_left <= 0:
            return None
        if stated:
            at = self._octets.find(b"--" + stated, start)
            self._octets_left -= (at if at >= 0 else len(self._octets)) - start
            if at >= 0:
                return None
            if len(stated) <= _MAX_BOUNDARY:
                other_case = re.compile(rb"^--(" + re.escape(stated) + rb")", re.M | re.I)
                # That of another multipart stays its own.
                if (same := other_case.search(self._octets, start)) is not None and same[1] not in self._levels:
                    return same[1]
        self._guesses_left -= 1
        found = _LIKE_DELIMITER.search(self._octets, start)
        if found is None or self._level_of(found[1])[0] is not None:
            return None
        return found[1].rstrip(b" \t")

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
        self._broken_left = MAX_BROKEN_LINES
        delimits = False
        while True:
            found = FIELD.match(octets, at)
            if found is None:
                end = self._skipped(part, at, fields)
                if end < 0:
                    break
                at = end
                continue
            delimits = octets.startswith(b"--", at) and self._is_delimiter(at)
            if delimits:
                break
            if len(fields) < MAX_FIELDS:
                fields.append(Field(found[1].decode("ascii"), found[2].rstrip(b"\r\n")))
            at = found.end()
        blank = BLANK_LINE.match(octets, at)
        if blank is not None:
            at = blank.end()
        elif at < len(octets) and not (delimits or (octets.startswith(b"--", at) and self._is_delimiter(at))):
            part.defects.append("the header ends with a line that is not a field")
        part.fields = tuple(fields)
        if len(fields) >= MAX_FIELDS:
            part.defects.append(f"more than {MAX_FIELDS} header fields: the rest is not shown")
        if not octets[part.start : at].isascii():
            try:
                octets[part.start : at].decode("utf-8")
            except UnicodeDecodeError:
                self.raw_headers.append(part)
        return at

    def _skipped(self, part: Part, at: int, fields: list[Field]) -> int:
        """Return the end of a line in the header that is not a field; -1 if the header ends before it."""
        mbox = _MBOX_LINE.match(self._octets, at)
        if mbox is not None:
            if fields:
                part.defects.append("a From line of an mbox file is in the header")
            return mbox.end()
        may_follow = fields and self._broken_left > 0
        end = broken_line_end(self._octets, at, fields[-1]) if may_follow else -1
        if end >= 0:
            self._broken_left -= 1
            last = fields[-1]
            broken = f"a line of the header is not a field: it is read as the end of {last.name}"
            if broken not in part.defects:
                part.defects.append(broken)
            fields[-1] = Field(last.name, last.value + b"\r\n " + self._octets[at:end].strip())
        return end

    def _is_delimiter(self, at: int) -> bool:
        found = _DELIMITER.match(self._octets, at)
        return found is not None and self._level_of(found[1])[0] is not None


def parse(octets: bytes, with_files: bool = True) -> Part:
    """Parse a message. Never raises; `defects` lists the faults of each part.

    Time and memory depend on the size of the message, not on its nesting.

    @param with_files: whether files within a text (uuencode, yEnc) become parts of it.
    """
    parser = _Parser(octets)
    root = parser.parse()
    if with_files:
        take_out_files(root, MAX_LEVELS)
    read_raw_headers(parser.raw_headers, root)
    if parser.charset:
        for part in root.walk():
            if part.encoding in IDENTITY:
                part.parameters = {**part.parameters, "charset": "utf-8"}
    return root


def parse_header(octets: bytes) -> Part:
    """Parse only the header section of the message. The part is a leaf with all the rest as its body."""
    part = _header(octets)
    describe(part, "text/plain")
    return part


def read_fields(octets: bytes) -> Sequence[Field]:
    """Return the fields in the header section of the message, as `parse` reads them."""
    return _header(octets).fields


def _header(octets: bytes) -> Part:
    parser = _Parser(octets)
    part = parser.parse_header()
    if parser.raw_headers:
        # The type says in which charset the text is.
        before = [*part.defects]
        describe(part, "text/plain")
        part.defects = before
        read_raw_headers([part], part)
    return part
