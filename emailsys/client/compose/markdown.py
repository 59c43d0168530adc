"""Conversion of Markdown to HTML for mail."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from emailsys.client.compose.draft import ComposeError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# Characters of one text. The conversion takes up to 18 s for a million characters.
_MAX_TEXT: Final = 200_000


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    # Few messages need it.
    from markdown_it import MarkdownIt

    # CommonMark with tables and strikethrough. HTML in the text is escaped. A line end is a line break, as users
    # expect in mail.
    return MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])


def markdown_to_html(text: str) -> str:
    """Convert Markdown to an HTML document. Links that run code, such as "javascript:", stay text.

    @raise ComposeError: the text is too long.
    """
    if len(text) > _MAX_TEXT:
        raise ComposeError(
            f"the text has {len(text):,} characters; Markdown may have {_MAX_TEXT:,}. Send plain text, or attach it"
        )
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{_markdown().render(text)}</body></html>\n'
    )
