"""Text of strangers made safe for a terminal: nothing in it that one acts on, reorders or hides."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# C0 but for tab and line feed, DEL, C1: what terminals act on. Then what reorders text or hides in it, and lone
# surrogates, which cannot be printed at all.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# Those of them that nobody types: marks of direction and joiners are part of how some scripts are written.
_UNTYPED: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINE_ENDS: Final = re.compile(r"[\t\n\u2028\u2029]+")
# More combining characters on one than any script needs: they would climb over other lines.
_COMBINING: Final = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
_PILED: Final = re.compile(f"([{_COMBINING}]{{4}})[{_COMBINING}]+")
# What joins pictures into one: terminals do not agree on how wide the one is, and what follows it would stand askew.
_JOINED: Final = re.compile("\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])")


def _visible(found: re.Match[str]) -> str:
    """A character that must not reach the terminal, as one that may: ^[ is the picture U+241B."""
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return "" if unicodedata.category(found[0]) in ("Cf", "Zl", "Zp") else "\ufffd"


def safe_text(text: str) -> str:
    """Text of a stranger with nothing in it that a terminal acts on; lines and tabs stay."""
    text = _UNSAFE.sub(_visible, text.replace("\r\n", "\n"))
    return text if text.isascii() else _JOINED.sub("", _PILED.sub(r"\1", text))


def safe_line(text: str) -> str:
    """The same on one line, without tabs."""
    return safe_text(_LINE_ENDS.sub(" ", text.replace("\r", " ")))


def show_controls(text: str) -> str:
    """Text that is being written, with what a terminal acts on made visible, character for character."""
    return text if text.isprintable() else _UNTYPED.sub(lambda found: _visible(found) or "\ufffd", text)
