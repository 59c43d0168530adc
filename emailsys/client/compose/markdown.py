"""Markdown as HTML that mail programs show well."""

from __future__ import annotations

from functools import lru_cache

from markdown_it import MarkdownIt


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    # CommonMark with tables and strikethrough. HTML in it is shown, not passed on; a line end is a line end, as people
    # who write mail expect.
    return MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])


def markdown_to_html(text: str) -> str:
    """An HTML document. Links that run something ("javascript:") stay text."""
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{_markdown().render(text)}</body></html>\n'
    )
