"""Untrusted text made safe for a terminal: control, bidirectional and invisible characters are replaced."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# C0 except tab and line feed, DEL, and C1: terminals act on these. Then characters that reorder text or are
# invisible, and lone surrogates, which cannot be printed.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# The unsafe characters except direction marks and joiners, which users of some scripts type.
_UNTYPED: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINE_ENDS: Final = re.compile(r"[\t\n\u2028\u2029]+")
# More than four combining characters on one character would be drawn over other lines. No script needs so many.
_COMBINING: Final = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
_PILED: Final = re.compile(f"([{_COMBINING}]{{4}})[{_COMBINING}]+")
# Joiners between emoji, variation selectors, and skin tones behind an emoji. Terminals disagree on the width of what
# has them, which would shift the rest of the line. Of each emoji alone, they know the width.
_EMOJI: Final = "\u2190-\u2bff\U0001f000-\U0001faff"
_JOINED: Final = re.compile(f"\u200d(?=[{_EMOJI}])|[\ufe0e\ufe0f]|(?<=[{_EMOJI}\ufe0f])[\U0001f3fb-\U0001f3ff]")


def _visible(found: re.Match[str]) -> str:
    """Replace an unsafe character: ESC, for example, becomes its control picture U+241B."""
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return "" if unicodedata.category(found[0]) in ("Cf", "Zl", "Zp") else "\ufffd"


def safe_text(text: str) -> str:
    """Make untrusted text safe for a terminal. Keeps line ends and tabs."""
    text = _UNSAFE.sub(_visible, text.replace("\r\n", "\n"))
    return text if text.isascii() else _JOINED.sub("", _PILED.sub(r"\1", text))


def safe_line(text: str) -> str:
    """Make untrusted text safe for one line of a terminal, without line ends and tabs."""
    return safe_text(_LINE_ENDS.sub(" ", text.replace("\r", " ")))


def show_controls(text: str) -> str:
    """Make control characters in the user's own text visible, one character for each, so that positions stay."""
    return text if text.isprintable() else _UNTYPED.sub(lambda found: _visible(found) or "\ufffd", text)
