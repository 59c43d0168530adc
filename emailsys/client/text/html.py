"""Conversion of untrusted HTML to plain text. Nothing is loaded, nothing runs, and the time is linear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from emailsys.client.text.css_rules import StyleRules
from emailsys.client.text.html_layout import Layout
from emailsys.client.text.html_parser import mended, prepared, read, style_sheets

# What hides the rest of a document if it never ends.
_OPENERS: Final = re.compile(
    "<!--|<!\\[CDATA\\[|<(?:script|style|title|template|iframe|noembed|noframes|frameset)(?![a-z])", re.I
)


@dataclass(frozen=True, slots=True)
class ConvertedHTML:
    """The text of an HTML document, and what of the document is not in it."""

    text: str
    defects: tuple[str, ...]


def _laid_out(html: str, rules: StyleRules | None, pictures: Mapping[str, str] | None) -> Layout:
    layout = Layout(rules, pictures)
    read(html, layout)
    return layout


def _opened(opener: re.Match[str]) -> str:
    return "<p>" if opener[0].startswith("<!") else "<p "


def convert(html: str, pictures: Mapping[str, str] | None = None) -> ConvertedHTML:
    """Convert an HTML document or fragment to text.

    Keeps paragraphs, lists, quotes, table cells and preformatted text, and lists the targets of links as numbered notes
    at the end. Omits what its style hides, and says so in the defects. If nothing remains, it shows what is hidden. The
    result is not yet safe for a terminal.

    @param pictures: the numbers of the parts that pictures show, by Content-ID. The text names them in their place.
    """
    html, defects = prepared(html)
    sheets = style_sheets(html)
    layout = _laid_out(html, StyleRules(sheets), pictures)
    if not layout.has_ended:
        html, more = mended(html)
        if more:
            defects += more
            layout = _laid_out(html, StyleRules(sheets), pictures)
        if not layout.has_ended:
            defects.append("it ends inside a tag, a comment or an element that is not shown: some text may be missing")
    text, more = layout.result()
    if not layout.has_text:
        shown = _laid_out(html if layout.has_ended else _OPENERS.sub(_opened, html), None, pictures)
        if shown.has_text:
            text, _ = shown.result()
            more = ["its markup hides all of its text, which is shown all the same"]
        elif layout.unnamed_pictures:
            text = "[image]" if layout.unnamed_pictures == 1 else f"[{layout.unnamed_pictures} images]"
    return ConvertedHTML(text, (*defects, *more))


def html_to_text(html: str) -> str:
    """Convert HTML to text as `convert` does, without the defects."""
    return convert(html).text
