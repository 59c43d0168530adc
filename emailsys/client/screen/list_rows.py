"""Rows of the message list: conversations that are collapsed, and rows that leave the list."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from emailsys.client.archive.listing import Listed
from emailsys.client.archive.values import Summary


@dataclass(frozen=True, slots=True)
class Line:
    """A line on the screen: a message, its depth in the tree, and the messages that are collapsed into it."""

    summary: Summary
    depth: int = 0
    hidden: tuple[Summary, ...] = ()


@dataclass(slots=True)
class Folds:
    """Which conversations of a list are collapsed: none or all of them, but for some.

    `exceptions` are the keys of the first messages of these conversations.
    """

    all_collapsed: bool = False
    exceptions: set[str] = field(default_factory=set)

    def is_collapsed(self, key: str) -> bool:
        """Whether the conversation is collapsed whose first message has that key."""
        return self.all_collapsed != (key in self.exceptions)

    def switch(self, key: str) -> None:
        """Collapse a conversation, or expand it."""
        self.exceptions ^= {key}

    def switch_all(self) -> None:
        """Collapse all conversations, or expand them."""
        self.all_collapsed = not self.all_collapsed
        self.exceptions.clear()


def lines_of(rows: Sequence[Listed], folds: Folds) -> list[Line]:
    """Return the lines of a list."""
    lines: list[Line] = []
    at = 0
    while at < len(rows):
        end = at + 1
        while end < len(rows) and rows[end].depth:
            end += 1
        first, *others = rows[at:end]
        if others and folds.is_collapsed(first.summary.key):
            lines.append(Line(first.summary, first.depth, tuple(one.summary for one in others)))
        else:
            lines += [Line(one.summary, one.depth) for one in (first, *others)]
        at = end
    return lines


def without(rows: Sequence[Listed], keys: AbstractSet[str]) -> list[Listed]:
    """Return rows without the messages of some keys. Answers to these move up one level."""
    left: list[Listed] = []
    # The depths of the removed messages above the row.
    removed: list[int] = []
    for row in rows:
        while removed and row.depth <= removed[-1]:
            removed.pop()
        if row.summary.key in keys:
            removed.append(row.depth)
        else:
            left.append(Listed(row.summary, row.depth - len(removed)) if removed else row)
    return left
