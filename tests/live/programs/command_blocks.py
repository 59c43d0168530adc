"""Command blocks of the documents, and why some of them are not run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[3]
_BLOCK: Final = re.compile(
    r"(?m)^(?:<!-- not run: (?P<reason>[^\n]+) -->\n+)?```(?P<language>\w*)[^\n]*\n(?P<text>(?s:.*?))^```$"
)
_INDENTED: Final = re.compile(r"(?m)^(?:\n|\A)(?P<text>(?: {4}[^\n]*\n)+)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    @ivar line: the number of its first line, from 1.
    @ivar language: the word behind the opening fence; `sh` marks commands.
    @ivar reason: why the block is not run, "" if it is run.
    """

    document: str
    line: int
    language: str
    text: str
    reason: str


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document, in order; its path counts from the checkout."""
    text = (CHECKOUT / document).read_text("utf-8")
    return [
        Block(
            document,
            text.count("\n", 0, found.start("text")) + 1,
            found["language"],
            found["text"],
            found["reason"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def commands(document: str) -> list[Block]:
    """The blocks that are marked as commands."""
    return [block for block in blocks(document) if block.language == "sh"]


def unfenced(document: str) -> list[str]:
    """The indented blocks of a document, without their indent."""
    text = _BLOCK.sub("", (CHECKOUT / document).read_text("utf-8"))
    return [dedent(found["text"]) for found in _INDENTED.finditer(text)]
