"""Reports of lessons as HTML pages, and the page that lists them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from emailsys.lab.base.lesson import Lesson, Report
from emailsys.lab.base.values import Side
from emailsys.wiretap.conversation import Conversation
from emailsys.wiretap.export import Block, Dialogue, Prose, Table, Verdicts, octets_of_page, page_of
from emailsys.wiretap.verdict import Finding, Verdict


def write_page(path: Path, report: Report) -> None:
    """Writes the page of a lesson."""
    path.write_bytes(octets_of_page(page_of(report.lesson.title, list(_blocks(report)), lead=report.lesson.happens)))


def write_report(folder: Path, reports: Sequence[Report], failures: Sequence[tuple[Lesson, str]]) -> Path:
    """Writes the page of each lesson and an index into a folder; returns the index."""
    rows: list[tuple[str, ...]] = []
    links: list[str] = []
    for report in reports:
        name = f"{report.lesson.name}.html"
        write_page(folder / name, report)
        rows.append((report.lesson.title, report.lesson.question, *map(_answer, report.sides), _word(report)))
        links.append(name)
    for lesson, why in failures:
        rows.append((lesson.title, lesson.question, "", "", f"not played to its end: {why}"))
        links.append("")
    table = Table(
        "The lessons",
        ("lesson", "question", "without the protection", "with it", "verdict"),
        rows,
        "Each answer is computed from the octets of this run.",
        links,
    )
    index = folder / "index.html"
    lead = "Real attackers against a real mail system, on one machine, without and with the protection."
    index.write_bytes(octets_of_page(page_of("Lessons about attacks on mail", [table], lead=lead)))
    return index


def _answer(side: Side) -> str:
    return "yes" if side.result.harmed else "no"


def _word(report: Report) -> str:
    return "as expected" if report.as_expected else "NOT as expected"


def _blocks(report: Report) -> Iterator[Block]:
    lesson = report.lesson
    yield Prose("Why it works", (lesson.why,))
    for side in report.sides:
        word = "With the protection" if side.is_protected else "Without the protection"
        yield Verdicts(f"{word}: the verdict", [_finding(lesson, side)], f"{_first_up(side.protection)}.")
        for step in side.result.steps:
            for number, conversation in enumerate(step.conversations, start=1):
                which = f" ({number})" if len(step.conversations) > 1 else ""
                text = " ".join([*([step.text] if number == 1 else []), *_changes(conversation)])
                yield Dialogue(conversation, f"{word}: {_first_down(step.title)}{which}", text)
    yield Prose("What protects", (lesson.protects,))
    yield Prose("What is real in this lesson", (lesson.real,))
    yield Prose("Questions", tuple(lesson.ask))
    yield Prose("To read", (", ".join(lesson.rfcs),))


def _finding(lesson: Lesson, side: Side) -> Finding:
    advice = "" if side.as_expected else "This is not what the lesson expects."
    verdict = Verdict.BAD if side.result.harmed else Verdict.GOOD
    return Finding(lesson.question, verdict, f"{_answer(side).capitalize()}: {side.result.evidence}.", advice)


def _changes(conversation: Conversation) -> Iterator[str]:
    """Says which lines are the attacker's."""
    for event in conversation.events:
        what, was = event.details.get("tampered"), event.details.get("was")
        if what:
            before = f" It was “{was}”." if was else ""
            yield f"The line “{event.text}”: {what}.{before}"


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]


def _first_down(text: str) -> str:
    return text[:1].lower() + text[1:]
