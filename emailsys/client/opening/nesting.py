"""Bound on the nesting of HTML from other people: the time for cleaning grows with the square of it."""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

# Start tags that may be nested in any way: 10,000 unclosed elements take a thread a second (measured with nh3 0.3).
_FREE_TAGS: Final = 10_000
# Elements inside of each other, if there are more tags.
_MAX_DEPTH: Final = 200
_START: Final = re.compile(r"<[a-zA-Z]")
_TAG: Final = re.compile(
    r"<(/?)([a-zA-Z][^\s/<>\"'=]{0,50})"
    r"(?:\s++[^\s\"'<>/=]{1,100}+(?:\s{0,9}=\s{0,9}(?:\"[^\"]{0,9999}\"|'[^']{0,9999}'|[^\s\"'=<>`]{1,9999}+))?){0,99}+"
    r"\s{0,99}/?>"
)
_VOID: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
# Their end tags may be left out (WHATWG HTML §13.1.2.4).
_OPTIONAL: Final = frozenset({"p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "colgroup", "option"})
# Their content is text up to their end tag.
_TEXT: Final = frozenset({"style", "title"})
_TEXT_END: Final = re.compile(r"</(style|title)", re.I)
# Elements with rules of their own for what is inside.
_STRANGE: Final = frozenset(
    {
        *("script", "textarea", "xmp", "plaintext", "iframe", "noembed", "noframes", "noscript", "select", "svg"),
        *("math", "template", "frameset"),
    }
)


def is_too_complex(text: str) -> bool:
    """Whether HTML may be nested so deeply that cleaning it occupies a thread for long.

    Large documents must be well-formed: each element ends where the reader would expect it, so that their depth can be
    counted without a parser.
    """
    has_many = next(islice(_START.finditer(text), _FREE_TAGS, None), None) is not None
    return has_many and not _is_flat(text)


def _is_flat(text: str) -> bool:
    """Whether the elements of a document are well-formed, and not nested deeply."""
    opened: list[str] = []
    at = 0
    while (at := text.find("<", at)) >= 0:
        following = text[at + 1 : at + 2]
        if following in ("!", "?"):
            end = _comment_end(text, at)
            if end < 0:
                return False
            at = end
            continue
        if not (following.isascii() and following.isalpha()) and following != "/":
            at += 1
            continue
        match = _TAG.match(text, at)
        if match is None:
            return False
        at = match.end()
        name = match[2].lower()
        if name in _VOID:
            continue
        if name in _STRANGE or not (_end(opened, name) if match[1] else _begin(opened, name)):
            return False
        if name in _TEXT and not match[1]:
            closing = _TEXT_END.search(text, at)
            if closing is None or closing[1].lower() != name:
                return False
            at = closing.start()
    return True


def _begin(opened: list[str], name: str) -> bool:
    opened.append(name)
    return len(opened) <= _MAX_DEPTH


def _end(opened: list[str], name: str) -> bool:
    while opened and opened[-1] != name and opened[-1] in _OPTIONAL:
        opened.pop()
    return bool(opened) and opened.pop() == name


def _comment_end(text: str, at: int) -> int:
    """Return the end of a comment or of a declaration; -1 if it is odd."""
    if not text.startswith("<!--", at):
        return text.find(">", at) + 1 or -1
    end = text.find("-->", at + 4)
    is_odd = end < 0 or text[at + 4 : at + 5] == ">" or text[at + 4 : at + 6] == "->"
    return -1 if is_odd or text.find("--!>", at, end) >= 0 else end + 3
