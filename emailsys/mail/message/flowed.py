"""Paragraphs of format=flowed, joined again (RFC 3676)."""

from __future__ import annotations

import re
from typing import Final

_QUOTES: Final = re.compile(r">*")
# RFC 3676 §4.3: the line above a signature ends with a blank, but is fixed.
_SIGNATURE: Final = "-- "


def joined_paragraphs(text: str, delete_space: bool) -> str:
    """Join the lines of each paragraph.

    @param text: with LF line ends.
    @param delete_space: the parameter DelSp: the blank at the end of a joined line does not belong to the text.
    """
    out: list[str] = []
    # The paragraph that goes on, in pieces, and its quote marks.
    pieces: list[str] = []
    open_quotes = ""

    def end() -> None:
        if pieces:
            out.append(_quoted(open_quotes, "".join(pieces)))
            pieces.clear()

    for line in text.split("\n"):
        quotes = _QUOTES.match(line)[0]  # type: ignore[index]
        # RFC 3676 §4.4: a blank in front protects what follows it.
        line = line[len(quotes) :].removeprefix(" ")
        if quotes != open_quotes or line == _SIGNATURE:
            # RFC 3676 §4.5: a paragraph ends where the depth of its quotes changes.
            end()
        open_quotes = quotes
        if line == _SIGNATURE or not line.endswith(" "):
            pieces.append(line)
            end()
        else:
            pieces.append(line[:-1] if delete_space else line)
    end()
    return "\n".join(out)


def _quoted(quotes: str, line: str) -> str:
    return f"{quotes} {line}" if quotes and line else quotes + line
