"""Lines of text that a document is written to: prefixes of quotes and lists, empty lines, cells and markers."""

from __future__ import annotations

import re
from typing import Final

_BLANKS: Final = re.compile("[ \t\r\n\f\xa0]+")
#: Characters that show nothing: senders pad hidden introductions with them.
INVISIBLE: Final = (
    " \t\r\n\f\v\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u202f\u205f\u2060\u2061\u2062\u2063\u2064\u2800\u3000\u3164\ufeff"
)
# Nested quotes and lists that get a prefix.
_MAX_PREFIXES: Final = 12


class Lines:
    """Output buffer: finished lines, each with the prefix of its enclosing quotes and lists."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        #: The current line, in pieces: joining them each time would take quadratic time.
        self.pieces: list[str] = []
        #: Whether the current line has text.
        self.has_text = False
        self._prefixes: list[str] = []
        self._marker = ""
        self._marker_at = 0
        self._lead = ""
        self._is_blank_due = False
        self._is_cell_due = False
        self._is_after_blank = True
        self._is_after_note = False
        self._last_prefix = ""

    def text(self, text: str) -> None:
        """Append running text, with each run of white space as one blank."""
        if text.isspace():
            self.blank()
            return
        text = _BLANKS.sub(" ", text)
        if text[0] == " ":
            self.blank()
            text = text[1:]
        elif self._is_after_note and text[0].isalnum():
            self.blank()
        self._is_after_note = False
        self._put(text)
        self._is_after_blank = text[-1] == " "

    def preformatted(self, text: str, collapse: bool = False) -> None:
        """Append text whose line ends are kept, and its blanks too unless they are to be collapsed."""
        first, *others = text.split("\n")
        self._preformatted_piece(first, collapse)
        for line in others:
            self.end_line(keep_empty=True, keep_all=True)
            self._preformatted_piece(line, collapse)

    def _preformatted_piece(self, text: str, collapse: bool) -> None:
        if collapse and text:
            self.text(text)
        elif text:
            self._put(text.replace("\xa0", " "))
            self._is_after_blank = False

    def _put(self, text: str) -> None:
        if not self.has_text:
            if self._lead:
                self.pieces.append(self._lead)
            self.has_text = True
        elif self._is_cell_due:
            self.pieces.append("| " if self._is_after_blank else " | ")
        self._is_cell_due = False
        self.pieces.append(text)

    def blank(self) -> None:
        """Separate what follows on the current line by a blank."""
        if not self._is_after_blank:
            self.pieces.append(" ")
            self._is_after_blank = True

    def cell(self) -> None:
        """Separate what follows on the current line as the next cell of a row."""
        self._is_cell_due = self.has_text

    def note(self, text: str, since: int) -> None:
        """Append a note to text that began in line `since`, even if its line is finished."""
        if not self.has_text and len(self.lines) > since and self.lines[-1]:
            self.lines[-1] += f" {text}"
        else:
            if self.has_text:
                self.blank()
            self._put(text)
            self._is_after_blank = False
            self._is_after_note = True

    def lead(self, text: str) -> None:
        """Begin the lines that follow with a text, or with none."""
        self._lead = text

    def indent(self, prefix: str, marker: str = "") -> None:
        """Begin a quote, a list or an item. A marker stands in place of the prefix in the first line with text."""
        self._prefixes.append(prefix)
        if marker:
            self._marker = marker
            self._marker_at = len(self._prefixes) - 1

    def outdent(self) -> None:
        """End what `indent` began."""
        self._prefixes.pop()
        if self._marker and self._marker_at >= len(self._prefixes):
            self._marker = ""

    def end_line(self, keep_empty: bool = False, keep_all: bool = False) -> None:
        """Finish the current line.

        @param keep_empty: whether an empty line is kept, if no empty line precedes it.
        @param keep_all: whether it is kept in any case.
        """
        if not self.pieces and not keep_empty:
            return
        line = "".join(self.pieces).rstrip(INVISIBLE)
        self.pieces.clear()
        self.has_text = self._is_cell_due = False
        self._is_after_blank = True
        if not line:
            if not keep_all and (not keep_empty or self._is_blank_due or not self.lines or not self.lines[-1]):
                return
            if keep_all and not self.lines:
                return
        prefix = "".join(self._prefixes[:_MAX_PREFIXES])
        if self._is_blank_due and self.lines and self.lines[-1]:
            between = self._last_prefix if prefix.startswith(self._last_prefix) else prefix
            self.lines.append(between.rstrip())
        self._is_blank_due = False
        self._last_prefix = prefix
        if self._marker and line:
            outer, own = self._prefixes[: self._marker_at], self._prefixes[self._marker_at + 1 :]
            line = "".join(outer[:_MAX_PREFIXES]) + self._marker + "".join(own[:_MAX_PREFIXES]) + line
            self._marker = ""
            self.lines.append(line)
        else:
            self.lines.append((prefix + line).rstrip())

    def paragraph(self) -> None:
        """Finish the current line, and separate the next one by an empty line."""
        self.end_line()
        self._is_blank_due = True

    def done(self) -> str:
        """Finish, and return the whole text."""
        self.end_line()
        return "\n".join(self.lines).strip("\n")
