"""A picture of the full screen as SVG that loads nothing from anywhere."""

from __future__ import annotations

import re
from typing import Any, Final

from textual.app import App

_FONT_FACE: Final = re.compile(r"@font-face\s*\{.*?\}\s*", re.S)
_COMMENT: Final = re.compile(r"<!--.*?-->\s*", re.S)
# A run of characters: its place and width, and what it says.
_TEXT: Final = re.compile(
    r'(<text[^>]*? x=")([\d.]+)("[^>]*? textLength=")([\d.]+)("[^>]*>)((?:&#160;)*)(.*?)((?:&#160;)*)(</text>)'
)
_BLANK: Final = len("&#160;")
# Width of a character in Rich's picture.
_WIDTH: Final = 12.2


def _without_margins(found: re.Match[str]) -> str:
    """Programs that draw SVG differ in what they make of blanks at the ends of a text: there are none, then."""
    start, x, between, length, end, before, words, after, close = found.groups()
    if not words:
        return ""
    left, right = len(before) // _BLANK * _WIDTH, len(after) // _BLANK * _WIDTH
    return f"{start}{float(x) + left:g}{between}{float(length) - left - right:g}{end}{words}{close}"


def picture(app: App[Any], title: str = "emailsys mail") -> str:
    """The screen as it is now. The fonts that Textual would load from the web are the reader's own monospaced ones."""
    svg = _COMMENT.sub("", _FONT_FACE.sub("", app.export_screenshot(title=title)))
    svg = _TEXT.sub(_without_margins, svg)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace").replace(
        "Fira Code", "monospace"
    )
