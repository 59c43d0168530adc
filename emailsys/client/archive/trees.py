"""Trees of conversations: each message below the one that it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.client.archive.values import Summary

# Message ids that are stored for each message, and their length. The nearest one is nearly always there.
_STORED: Final = 10
_LONGEST: Final = 250


@dataclass(frozen=True, slots=True)
class Node:
    """A message of a conversation, and the message ids that it refers to, the nearest first."""

    summary: Summary
    ancestors: Sequence[str]


def ancestors(references: Sequence[str]) -> str:
    """Return the ids that the index stores for a message: the nearest ones that it refers to, the nearest first."""
    return " ".join([one for one in reversed(references) if len(one) <= _LONGEST and " " not in one][:_STORED])


def tree(nodes: Sequence[Node]) -> Iterator[tuple[Node, int]]:
    """Yield the messages of a conversation, each followed by its answers, with their depths from 0.

    A message is below the nearest message of the conversation that it refers to, as References tells. If none of these
    is there, for example because it is in another folder, it is below the first message of the conversation.

    @param nodes: the messages, sorted by date. Answers stay in this order.
    """
    by_id: dict[str, int] = {}
    for number, node in enumerate(nodes):
        if node.summary.message_id:
            # If two messages have the same id, answers belong to the first.
            by_id.setdefault(node.summary.message_id, number)
    parents: list[int | None] = [None] * len(nodes)
    for number, node in enumerate(nodes):
        named = (by_id[one] for one in node.ancestors if one in by_id)
        parents[number] = next((one for one in named if not _is_below(parents, one, number)), None)
    roots = [number for number, parent in enumerate(parents) if parent is None]
    for number in roots[1:]:
        parents[number] = roots[0]
    answers: dict[int, list[int]] = {}
    for number, parent in enumerate(parents):
        if parent is not None:
            answers.setdefault(parent, []).append(number)
    waiting = [(number, 0) for number in roots[:1]]
    while waiting:
        number, depth = waiting.pop()
        yield nodes[number], depth
        waiting += [(answer, depth + 1) for answer in reversed(answers.get(number, []))]


def _is_below(parents: Sequence[int | None], number: int | None, other: int) -> bool:
    """Whether a message is another one, or is below it: then that one cannot be its answer."""
    while number is not None:
        if number == other:
            return True
        number = parents[number]
    return False
