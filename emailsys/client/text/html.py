"""Conversion of untrusted HTML to plain text, in one pass of linear time that loads and runs nothing.

The standard library's html.parser takes quadratic time for some broken markup in the Python versions we support.
Libraries that convert HTML to text depend on it, or on a C parser with a large attack surface.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final

_ATTRIBUTE: Final = re.compile(r"""([a-zA-Z_:][\w:.\-]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_NAME: Final = re.compile(r"/?[a-zA-Z][a-zA-Z0-9:]*")
_BLANKS: Final = re.compile(r"[ \t\r\n\f\xa0]+")
_HIDDEN: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|mso-hide\s*:\s*all", re.I
)
_LONG_REFERENCE: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")
_MANY_LINES: Final = re.compile(r"\n{3,}")

_UNSHOWN: Final = frozenset({"script", "style", "head", "title", "template", "noscript", "object", "svg", "math"})
_RAW: Final = frozenset({"script", "style", "title", "textarea"})
_VOID: Final = frozenset({"br", "hr", "img", "input", "meta", "link", "area", "base", "col", "wbr", "source"})
_PARAGRAPH: Final = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre"})
_BLOCK: Final = _PARAGRAPH | {
    *("address", "article", "aside", "body", "caption", "center", "dd", "div", "dt", "fieldset", "figure", "footer"),
    *("form", "header", "li", "main", "nav", "section", "tr"),
}
# Schemes of links that are shown.
_LINK: Final = re.compile(r"(?:https?|mailto|ftp|tel):", re.I)
# Elements that may be open at the same time. Text of deeper ones is shown as text of the last.
_MAX_DEPTH: Final = 500
# Nested quotes and lists that get a prefix.
_MAX_PREFIXES: Final = 12
# Characters after which an unclosed quotation mark in a tag is ignored.
_MAX_QUOTED: Final = 4_000


def _unescaped(text: str) -> str:
    # Python raises ValueError for numbers of thousands of digits.
    return unescape(_LONG_REFERENCE.sub("\ufffd", text)) if "&" in text else text


class _Writer:
    """Output buffer: finished lines, each with the prefix of its enclosing quotes and lists."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.prefixes: list[str] = []
        #: The current line, in pieces: joining them each time would take quadratic time.
        self.pieces: list[str] = []
        self._blank_due = False
        self._last_prefix = ""

    @property
    def has_text(self) -> bool:
        """Whether the current line has text."""
        return any(piece.strip() for piece in self.pieces[-8:])

    def put(self, text: str) -> None:
        """Append text unchanged. It must have no line ends."""
        if text:
            self.pieces.append(text)

    def text(self, text: str) -> None:
        """Append running text, with each run of white space as one blank."""
        text = _BLANKS.sub(" ", text)
        if not self.pieces or self.pieces[-1].endswith(" "):
            text = text.removeprefix(" ")
        self.put(text)

    def end_line(self, keep_empty: bool = False) -> None:
        """Finish the current line."""
        line = "".join(self.pieces).rstrip()
        self.pieces = []
        if line or keep_empty:
            prefix = "".join(self.prefixes[:_MAX_PREFIXES])
            if self._blank_due and self.lines:
                self.lines.append((self._last_prefix if prefix.startswith(self._last_prefix) else prefix).rstrip())
            self._blank_due = False
            self._last_prefix = prefix
            self.lines.append((prefix + line).rstrip())

    def paragraph(self) -> None:
        """Finish the current line, and separate the next one by an empty line."""
        self.end_line()
        self._blank_due = True


class _Conversion:
    def __init__(self) -> None:
        self._out = _Writer()
        self._stack: list[str] = []
        self._hidden_at: int | None = None
        self._preformatted = 0
        self._lists: list[int | None] = []
        self._links: dict[str, int] = {}
        self._link: tuple[str, int] | None = None

    def convert(self, html: str) -> str:
        at = 0
        while True:
            start = html.find("<", at)
            if start < 0:
                self._text(html[at:])
                break
            self._text(html[at:start])
            if html.startswith("<!--", start):
                end = html.find("-->", start + 4)
                # A browser hides everything after a comment that never ends.
                at = len(html) if end < 0 else end + 3
            elif html.startswith(("<!", "<?"), start):
                end = html.find(">", start)
                at = len(html) if end < 0 else end + 1
            elif name := _NAME.match(html, start + 1):
                end = _tag_end(html, name.end())
                if end < 0:
                    break
                at = self._tag(name[0].lower(), html[name.end() : end], html, end + 1)
            else:
                self._text("<")
                at = start + 1
            if at >= len(html):
                break
        self._out.end_line()
        text = "\n".join(self._out.lines)
        if self._links:
            text += "\n\n" + "\n".join(f"[{number}] {link}" for link, number in self._links.items())
        return _MANY_LINES.sub("\n\n", text).strip("\n")

    def _text(self, text: str) -> None:
        if not text or self._hidden_at is not None:
            return
        text = _unescaped(text)
        if self._preformatted:
            first, *others = text.replace("\r\n", "\n").split("\n")
            self._out.put(first)
            for line in others:
                self._out.end_line(keep_empty=True)
                self._out.put(line)
        else:
            self._out.text(text)

    def _tag(self, name: str, attributes: str, html: str, after: int) -> int:
        """Process a tag, and return the offset of what follows it."""
        if name.startswith("/"):
            self._close(name[1:])
            return after
        if name in _RAW:
            # The content of these elements is not markup. Only their own end tag ends them.
            found = re.compile(f"</{name}", re.I).search(html, after)
            end = len(html) if found is None else html.find(">", found.end()) + 1 or len(html)
            if name == "textarea" and found is not None:
                self._text(html[after : found.start()])
            return end
        values = {
            found[1].lower(): _unescaped(found[2] or found[3] or found[4] or "")
            for found in _ATTRIBUTE.finditer(attributes[:20_000])
        }
        if name in _VOID:
            if self._hidden_at is None:
                self._void(name, values)
            return after
        if len(self._stack) >= _MAX_DEPTH:
            return after
        if name == "li" and self._is_in_item():
            self._close("li")
        elif name == "p" and self._stack[-1:] == ["p"]:
            self._close("p")
        self._stack.append(name)
        if self._hidden_at is None:
            if name in _UNSHOWN or "hidden" in attributes.split() or _HIDDEN.search(values.get("style", "")):
                self._hidden_at = len(self._stack)
            else:
                self._open(name, values)
        return after

    def _is_in_item(self) -> bool:
        """Whether an item of the innermost list is open. The next item closes it."""
        nearest = next((one for one in reversed(self._stack[-20:]) if one in ("li", "ul", "ol")), "")
        return nearest == "li"

    def _void(self, name: str, values: dict[str, str]) -> None:
        if name == "br":
            self._out.end_line(keep_empty=True)
        elif name == "hr":
            self._out.paragraph()
            self._out.put("-" * 40)
            self._out.paragraph()
        elif name == "img" and values.get("alt", "").strip():
            self._out.text(f"[{values['alt'].strip()}]")

    def _open(self, name: str, values: dict[str, str]) -> None:
        out = self._out
        if name in _PARAGRAPH and not (name in ("ul", "ol") and self._lists):
            out.paragraph()
        elif name in _BLOCK:
            out.end_line()
        if name == "blockquote":
            out.prefixes.append("> ")
        elif name == "pre":
            self._preformatted += 1
        elif name in ("ul", "ol"):
            self._lists.append(0 if name == "ol" else None)
            out.prefixes.append("  ")
        elif name == "li":
            number = self._lists[-1] if self._lists else None
            if number is not None:
                self._lists[-1] = number + 1
            out.put("* " if number is None else f"{number + 1}. ")
        elif name in ("td", "th") and out.has_text:
            out.text(" | ")
        elif name in ("h1", "h2", "h3", "h4", "h5", "h6"):
            out.put("#" * int(name[1]) + " ")
        elif name == "a" and _LINK.match(values.get("href", "").strip()):
            self._link = (_BLANKS.sub("", values["href"]), len(out.pieces))

    def _close(self, name: str) -> None:
        if name not in self._stack[-50:]:
            if name == "p":
                self._out.paragraph()
            return
        while self._stack:
            top = self._stack.pop()
            if self._hidden_at is not None:
                if len(self._stack) < self._hidden_at:
                    self._hidden_at = None
            else:
                self._leave(top)
            if top == name:
                return

    def _leave(self, name: str) -> None:
        out = self._out
        if name == "a" and self._link is not None:
            link, begin = self._link
            self._link = None
            shown = "".join(out.pieces[begin:]).strip()
            # A link whose text is its own target needs no number.
            if link.removeprefix("mailto:").rstrip("/") != shown.rstrip("/"):
                number = self._links.setdefault(link, len(self._links) + 1)
                out.text(f" [{number}]" if shown else f"[{number}]")
            return
        if name in _PARAGRAPH and not (name in ("ul", "ol") and len(self._lists) > 1):
            out.paragraph()
        elif name in _BLOCK:
            out.end_line()
        if name in ("blockquote", "ul", "ol"):
            out.prefixes.pop()
        if name in ("ul", "ol"):
            self._lists.pop()
        elif name == "pre":
            self._preformatted -= 1


def _tag_end(html: str, at: int) -> int:
    """Return the offset of the ">" that ends a tag, or -1. A ">" in quotation marks does not count if they are closed.

    @param at: offset of the tag's attributes.
    """
    position = at
    while True:
        end = html.find(">", position)
        if end < 0:
            return -1
        quote = re.compile("[\"']").search(html, position, end)
        if quote is None:
            return end
        closing = html.find(quote[0], quote.end(), at + _MAX_QUOTED)
        if closing < 0:
            return end
        position = closing + 1


def html_to_text(html: str) -> str:
    """Convert an HTML document or fragment to text.

    Keeps paragraphs, lists, quotes and table cells, and lists links as numbered notes at the end. Omits hidden
    elements, scripts and styles. The result is not yet safe for a terminal.
    """
    return _Conversion().convert(html)
