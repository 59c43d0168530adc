"""Pictures of HTML in text: the words in their place, and which of them are only spacers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

# Pixels: smaller pictures are spacers, or count who reads.
_TINY: Final = 3


def picture_words(attributes: Mapping[str, str | None], parts: Mapping[str, str]) -> str:
    """Return the words in the place of a picture: its alternative text, and the part that it shows; "" for none.

    @param parts: the numbers of the parts of the message, by Content-ID.
    """
    alt = " ".join((attributes.get("alt") or "").split())
    source = (attributes.get("src") or "").strip()
    number = parts.get(unquote(source[4:])) if source[:4].lower() == "cid:" else None
    if number is None or is_tiny(attributes):
        return alt
    return f"{alt}: picture {number}" if alt else f"picture {number}"


def is_tiny(attributes: Mapping[str, str | None]) -> bool:
    """Whether a picture's own size says that it is a spacer, or counts who reads."""
    for name in ("width", "height"):
        value = (attributes.get(name) or "").strip().removesuffix("px")
        if value.isascii() and value.isdigit() and int(value[:9]) <= _TINY:
            return True
    return False
