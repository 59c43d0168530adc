"""SVG picture of the full screen that loads no external resources."""

from __future__ import annotations

import re
from typing import Any, Final

from textual.app import App

_FONT_FACE: Final = re.compile(r"@font-face\s*\{.*?\}\s*", re.S)
_COMMENT: Final = re.compile(r"<!--.*?-->\s*", re.S)
# A run of characters: position, width, and text between leading and trailing blanks.
_TEXT: Final = re.compile(
    r'(<text[^>]*? x=")([\d.]+)("[^>]*? textLength=")([\d.]+)("[^>]*>)((?:&#160;)*)(.*?)((?:&#160;)*)(</text>)'
)
_BLANK: Final = len("&#160;")
# Width of a character in Rich's SVG.
_WIDTH: Final = 12.2


def _without_margins(found: re.Match[str]) -> str:
    """Remove leading and trailing blanks from a run of text, because SVG viewers render them differently."""
    start, x, between, length, end, before, words, after, close = found.groups()
    if not words:
        return ""
    left, right = len(before) // _BLANK * _WIDTH, len(after) // _BLANK * _WIDTH
    return f"{start}{float(x) + left:g}{between}{float(length) - left - right:g}{end}{words}{close}"


def picture(app: App[Any], title: str = "emailsys mail") -> str:
    """Return the current screen as SVG. It uses local monospaced fonts in place of those that Textual loads."""
    svg = _COMMENT.sub("", _FONT_FACE.sub("", app.export_screenshot(title=title)))
    svg = _TEXT.sub(_without_margins, svg)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace").replace(
        "Fira Code", "monospace"
    )
