"""Texts of strangers as a page may show them, and numbers as people read them."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime
from typing import Final

#: Characters of one text that a page shows.
LONGEST: Final = 1_000
_MILLISECOND: Final = 1e-3
_SECOND: Final = 1.0
# Controls; what changes the direction of the text around it (UAX #9); separators of lines; surrogates; and characters
# that no HTML may have.
_UNSAFE: Final = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef"
    "\ufeff\ufff0-\uffff\U000e0000-\U000e0fff]|[\ufffe\uffff]"
)


def said(text: object, most: int = LONGEST) -> str:
    """Returns a text without characters that hide or reorder others, cut with a word if it is long."""
    found = str(text)
    left = len(found) - most
    found = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", found[:most])
    # Noncharacters end each plane; HTML allows none.
    found = "".join("\N{REPLACEMENT CHARACTER}" if ord(one) & 0xFFFE == 0xFFFE else one for one in found)
    return f"{found} … ({left:,} characters more)" if left > 0 else found


def line_of(text: object, most: int) -> str:
    """Returns a text as one line, cut with an ellipsis if it has more than that number of columns."""
    found = " ".join(said(str(text)[: most + 1]).split())
    return found if len(found) <= most else f"{found[: most - 1]}…"


def columns(text: str) -> int:
    """Returns how many columns of a fixed-width font a text takes: letters of East Asia take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """Breaks a text into lines, at blanks where there are any. The last line is cut with an ellipsis."""
    found: list[str] = []
    rest = said(text, width * lines * 2).strip()
    while rest:
        end = at = used = 0
        for at, letter in enumerate(rest, start=1):
            used += columns(letter)
            if used > width:
                break
            end = at
        else:
            found.append(rest)
            return found
        if len(found) + 1 == lines:
            found.append(f"{rest[: max(end - 1, 1)].rstrip()}…")
            return found
        blank = rest.rfind(" ", width // 2, end + 1)
        end = blank if blank > 0 else max(end, 1)
        found.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return found or [""]


def octets(count: float) -> str:
    """Returns a size."""
    return "1 octet" if count == 1 else f"{count:,.0f} octets"


def elapsed(seconds: float) -> str:
    """Returns a time since the beginning, "" for what is none."""
    if not math.isfinite(seconds):
        return ""
    if seconds < _MILLISECOND:
        return f"{seconds * 1e3:.2f} ms"
    if seconds < _SECOND:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds:,.2f} s"


def moment(at: float) -> str:
    """Returns a date and time in UTC, to the second. @param at: seconds since 1970."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"


def clock_time(at: float) -> str:
    """Returns the time of day in UTC, to the millisecond if it is known so well. @param at: seconds since 1970."""
    try:
        exact = f"{datetime.fromtimestamp(at, UTC):%H:%M:%S.%f}"
        return exact[:8] if at.is_integer() else exact[:-3]
    except (OverflowError, OSError, ValueError):
        return ""
