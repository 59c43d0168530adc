"""Lines between texts of one message that are protected in different ways. No text can imitate them."""

from __future__ import annotations

from typing import Final

_BEGIN: Final = "[=="
_END: Final = "==]"


def frame(words: str) -> str:
    """Return a frame: a line about the text below it."""
    return f"{_BEGIN} {without_frames(words)} {_END}"


def without_frames(text: str) -> str:
    """Return a text with nothing in it that looks like a frame."""
    return text.replace(_BEGIN, "[= =").replace(_END, "= =]")
