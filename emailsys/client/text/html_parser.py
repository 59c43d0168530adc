"""The HTML parser, turbohtml, and what it needs to read hostile documents in linear time and without losing their end.

docs/decisions/0026-html-parser.md says why it is turbohtml, and what was measured.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from turbohtml.saxparse import SaxHandler

#: A private character that is put after the document. If it does not arrive as text, the document ends inside a tag, a
#: comment or an element that is not shown.
END: Final = "\ue5f3"
_STYLE_ELEMENT: Final = re.compile("<style", re.I)
# The parser copies all attributes of <body> and <html> at each further one, which takes quadratic time.
_ROOTS: Final = re.compile(r"<(?=(?:body|html)[\s/])", re.I)
_MAX_ROOTS: Final = 50
# Formatting elements that are not closed are opened again in each paragraph that follows (HTML §13.2.4.3), in up to 512
# levels. Under another name they are not: documents that could grow to more elements than this are read so.
_FORMATTING: Final = re.compile(r"<(/?)(?=(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/>])", re.I)
# The same for links, of which one is open at a time.
_LINK: Final = re.compile(r"<(/?)(?=a[\s/>])", re.I)
# The attributes of a tag (HTML §13.2.5.32 to §13.2.5.39), without the end of the tag.
_ATTRIBUTES: Final = re.compile(
    r"""[a-z]++(?:[\t\n\f\r /]++|(?:=[^\t\n\f\r />=]*+|[^\t\n\f\r />=]++)"""
    r"""(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >]*+))?+)*+""",
    re.I,
)
_MAX_LEVELS: Final = 512
_MAX_ELEMENTS: Final = 500_000
# An element that is opened again has all of its attributes again: characters of them.
_MAX_COPIED: Final = 20_000_000
_MAX_MENDED: Final = 3


def prepared(html: str) -> tuple[str, list[str]]:
    """Return HTML that the parser reads in linear time, and the defects."""
    if not html.isascii():
        # Lone surrogates are no characters.
        html = html.encode("utf-8", "replace").decode()
    tags = html.count("<")
    if tags * len(html) > _MAX_COPIED or tags * _MAX_LEVELS > _MAX_ELEMENTS:
        if _is_copied(html, _FORMATTING, tags):
            html = _FORMATTING.sub(r"<\1x-", html)
        if _is_copied(html, _LINK, tags):
            html = _LINK.sub(r"<\1x-", html)
    roots = [found.end() for found in _ROOTS.finditer(html)][_MAX_ROOTS:]
    if not roots:
        return html, []
    pieces = [html[begin:end] for begin, end in zip([0, *roots], [*roots, len(html)], strict=True)]
    return "x-".join(pieces), [f"more than {_MAX_ROOTS} elements called body or html: the others are called x-body"]


def _is_copied(html: str, tag: re.Pattern[str], tags: int) -> bool:
    """Whether elements that are opened again at each tag could grow beyond the limits."""
    count = copied = 0
    for found in tag.finditer(html):
        if found[1]:
            continue
        count += 1
        attributes = _ATTRIBUTES.match(html, found.end())
        length = len(attributes[0]) if attributes else 0
        copied = max(copied, length) if tag is _LINK else copied + length
        # What has been looked at is within the limit as well, so that this is linear.
        if copied * tags > _MAX_COPIED or (tag is _FORMATTING and min(_MAX_LEVELS, count) * tags > _MAX_ELEMENTS):
            return True
    return False


def read(html: str, receiver: object) -> None:
    """Parse a document, and report its elements and text, with END after them, to a receiver."""
    from turbohtml.saxparse import sax_parse

    sax_parse(html + END, cast("SaxHandler", receiver))


def style_sheets(html: str) -> list[tuple[str, str]]:
    """Return the media and the text of each style sheet in a document."""
    from turbohtml import parse

    if not _STYLE_ELEMENT.search(html):
        return []
    return [
        (str(one.attrs.get("media") or ""), one.text)
        for one in parse(html).find_all("style")
        if str(one.attrs.get("type") or "text/css").strip().lower() == "text/css"
    ]


class _EndProbe:
    """A receiver of the parser's events that only notes whether a document ends as text."""

    has_ended = False

    def characters(self, data: str) -> None:
        self.has_ended = data[-1:] == END

    def _ignore(self, *event: object) -> None:
        pass

    start_element = end_element = comment = doctype = processing_instruction = _ignore


def _would_end(html: str) -> bool:
    probe = _EndProbe()
    read(html, probe)
    return probe.has_ended


def mended(html: str) -> tuple[str, list[str]]:
    """Remove quotation marks in tags that are never closed, which hide the rest. Returns what was done as defects."""
    defects: list[str] = []
    while len(defects) < _MAX_MENDED and not _would_end(html) and not _would_end(f"{html}>"):
        at = max((html.rfind(one) for one in "\"'" if _would_end(f"{html}{one}>")), default=-1)
        if at < 0:
            break
        html = html[:at] + " " + html[at + 1 :]
        defects.append("a quotation mark in a tag is never closed, and is ignored")
    return html, defects
