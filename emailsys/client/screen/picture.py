"""A picture of the full screen as SVG that loads nothing from anywhere."""

from __future__ import annotations

import re
from typing import Any, Final

from textual.app import App

_FONT_FACE: Final = re.compile(r"@font-face\s*\{.*?\}\s*", re.S)
_COMMENT: Final = re.compile(r"<!--.*?-->\s*", re.S)


def picture(app: App[Any], title: str = "emailsys mail") -> str:
    """The screen as it is now. The fonts that Textual would load from the web are the reader's own monospaced ones."""
    svg = _COMMENT.sub("", _FONT_FACE.sub("", app.export_screenshot(title=title)))
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace").replace(
        "Fira Code", "monospace"
    )
