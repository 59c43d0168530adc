"""Lessons as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import click

from emailsys.lab.base.lesson import Lesson
from emailsys.lab.base.values import Side, Step
from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind, Role
from emailsys.wiretap.explain import Explanation, explained

Told: TypeAlias = tuple[Event, Explanation]

WIDTH: Final = 80
# Time, mark and speaker before each line of a conversation.
_MARGIN: Final = 12
# Lines of a message that are shown at its beginning and at its end; the others are counted.
_FIRST: Final = 2
_LAST: Final = 6
# TLS records of one direction that are shown in a row.
_RECORDS: Final = 3
#: The mark of lines that an attacker changed or added.
MARK: Final = "!"


def paragraph(text: str, indent: str = "") -> str:
    """Returns a paragraph of at most 80 columns."""
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def heading(text: str) -> str:
    """Returns a heading with a line below it."""
    return click.style(text, bold=True) + "\n" + "=" * len(text)


def opening(lesson: Lesson) -> str:
    """Returns the beginning of a lesson: what happens, why, and the question."""
    return "\n\n".join(
        [
            heading(lesson.title),
            paragraph(lesson.happens),
            paragraph(f"Why it works: {lesson.why}"),
            paragraph(f"The question: {lesson.question}"),
        ]
    )


def title_of(lesson: Lesson, is_protected: bool) -> str:
    """Returns the heading of a side."""
    name = lesson.protection if is_protected else lesson.without
    word = "2. With the protection" if is_protected else "1. Without the protection"
    return click.style(word, bold=True) + "\n" + paragraph(name, "   ")


def step_text(step: Step, explain: bool = False) -> str:
    """Returns a step with its conversations.

    @param explain: whether each line is followed by its meaning.
    """
    parts = [click.style(f"   {step.title}", bold=True), paragraph(step.text, "   ")]
    parts += [conversation_text(one, explain) for one in step.conversations]
    return "\n\n".join(parts)


def verdict(lesson: Lesson, side: Side) -> str:
    """Returns the answer to the question, with the octets that prove it."""
    answer = "yes" if side.result.harmed else "no"
    colour = "green" if side.as_expected else "red"
    words = f"{lesson.question} {answer.upper()}: {side.result.evidence}."
    if not side.as_expected:
        words += f" This is NOT what the lesson expects: {'no' if side.is_protected else 'yes'}."
    first, _, rest = paragraph(words, "   ").partition("\n")
    return click.style(first, fg=colour, bold=True) + (f"\n{click.style(rest, fg=colour)}" if rest else "")


def closing(lesson: Lesson) -> str:
    """Returns the end of a lesson: what protects, what was real, the RFCs, questions for a class."""
    questions = "\n".join(
        textwrap.fill(one, WIDTH, initial_indent="   - ", subsequent_indent="     ") for one in lesson.ask
    )
    return "\n\n".join(
        [
            paragraph(f"What protects: {lesson.protects}"),
            paragraph(f"What is real here: {lesson.real}"),
            paragraph(f"Read: {', '.join(lesson.rfcs)}"),
            f"Questions:\n{questions}",
        ]
    )


def conversation_text(conversation: Conversation, explain: bool = False) -> str:
    """Returns a conversation, one event on each line, with its time in milliseconds."""
    legend = f"   ms    C client, S server, * event, {MARK} the attacker's"
    lines = [click.style(legend, dim=True)]
    for run in _runs(explained(conversation.protocol, conversation.events)):
        first, last = (_FIRST, _LAST) if run[0][0].kind is Kind.BODY else (_RECORDS, 0)
        left_out = len(run) - first - last
        for number, (event, told) in enumerate(run):
            is_between = left_out > 1 and first <= number < first + left_out
            if is_between and number == first:
                word = "lines of the message" if event.kind is Kind.BODY else "records"
                lines.append(" " * _MARGIN + click.style(f"({left_out} more {word})", dim=True))
            if not is_between:
                lines += _event_lines(event, conversation.role)
                # The lines of a message mean what its writer meant.
                if explain and event.kind is not Kind.BODY:
                    lines += _meaning(told)
    return "\n".join(lines)


def _runs(events: Iterable[Told]) -> Iterator[Sequence[Told]]:
    """Groups the lines of a message, and TLS records of the same direction. The attacker's lines are among none."""
    run: list[Told] = []
    for event, told in events:
        if run and not _continues(run[0][0], event):
            yield run
            run = []
        run.append((event, told))
        if event.kind not in (Kind.BODY, Kind.TLS):
            yield run
            run = []
    if run:
        yield run


def _continues(first: Event, event: Event) -> bool:
    return (first.kind, first.direction, "tampered" in first.details) == (
        event.kind,
        event.direction,
        "tampered" in event.details,
    )


def _meaning(told: Explanation) -> Iterator[str]:
    words = f"{told.title}. {told.meaning} {told.rfc}".strip()
    for part in textwrap.wrap(words, WIDTH - _MARGIN - 2, break_on_hyphens=False):
        yield " " * (_MARGIN + 2) + click.style(part, dim=True)


def _event_lines(event: Event, role: Role) -> Iterator[str]:
    if event.direction is None:
        speaker, colour = "*", "yellow"
    elif (event.direction is Direction.IN) is (role is Role.SERVER):
        speaker, colour = "C", "cyan"
    else:
        speaker, colour = "S", "green"
    tampered = event.details.get("tampered")
    mark = click.style(MARK, fg="red", bold=True) if tampered else " "
    parts = textwrap.wrap(event.text, WIDTH - _MARGIN, break_on_hyphens=False, drop_whitespace=False) or [""]
    yield f"{event.at * 1000:5.0f} {mark} {click.style(speaker, fg=colour)}  {parts[0]}"
    for part in parts[1:]:
        yield " " * _MARGIN + part
    was = event.details.get("was")
    if tampered and isinstance(was, str):
        words = f"{tampered}, was: {was}" if was else str(tampered)
        for part in textwrap.wrap(words, WIDTH - _MARGIN, break_on_hyphens=False):
            yield " " * _MARGIN + click.style(part, fg="red")
