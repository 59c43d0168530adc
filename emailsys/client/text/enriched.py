"""Conversion of text/enriched (RFC 1896) and its forerunner text/richtext (RFC 1341) to plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_TOKEN: Final = re.compile(r"<<|<(/?)([A-Za-z0-9-]{1,60})>|\n+")
# What stands between these commands is not for the reader.
_HIDDEN: Final = frozenset({"param", "comment"})
_RICHTEXT: Final = {"lt": "<", "nl": "\n", "np": "\n\n"}


def enriched_text(text: str, is_richtext: bool) -> tuple[str, list[str]]:
    """Return the text without its commands, and the defects.

    @param text: with LF line ends.
    @param is_richtext: whether it is text/richtext, where only a command begins a line.
    """
    pieces, is_complete = _pieces(text, is_richtext, hides=True)
    if is_complete:
        return pieces, []
    return _pieces(text, is_richtext, hides=False)[0], ["a command that hides text is never closed, and is ignored"]


def _pieces(text: str, is_richtext: bool, hides: bool) -> tuple[str, bool]:
    depths = {"param": 0, "comment": 0, "nofill": 0}
    out: list[str] = []
    at = 0
    for found in _TOKEN.finditer(text):
        is_hidden = hides and any(depths[name] for name in _HIDDEN)
        if not is_hidden:
            out.append(text[at : found.start()])
        at = found.end()
        name = (found[2] or "").lower()
        if name in depths:
            depths[name] = max(0, depths[name] + (-1 if found[1] else 1))
        if not is_hidden:
            out += _shown(found, name, is_richtext, depths["nofill"] > 0)
    is_complete = not any(depths[name] for name in _HIDDEN)
    if is_complete or not hides:
        out.append(text[at:])
    return "".join(out), is_complete


def _shown(found: re.Match[str], name: str, is_richtext: bool, keeps_lines: bool) -> Iterator[str]:
    if name:
        if is_richtext and not found[1]:
            yield _RICHTEXT.get(name, "")
        if is_richtext and name == "paragraph":
            yield "\n\n"
    elif found[0] == "<<":
        yield "<" if not is_richtext else "<<"
    elif keeps_lines:
        yield found[0]
    else:
        # RFC 1896: one line end is a blank, and of several one is dropped.
        yield " " if is_richtext or len(found[0]) == 1 else found[0][1:]
