"""A lesson: its text, and how it is played; a report of both sides of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emailsys.lab.base.stage import Stage
from emailsys.lab.base.values import Result, Side
from emailsys.wiretap.conversation import Json


def prose(text: str) -> str:
    """Returns a text of several lines as one paragraph."""
    return " ".join(text.split())


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson.

    `question` can be answered by yes (harm) or no. `without` and `protection` name the switch in both positions. `play`
    runs the lesson on a stage, with the protection if its second argument is true.
    """

    name: str
    title: str
    #: The place in the list.
    order: int
    #: Minutes in a class, with the questions.
    minutes: int
    question: str
    without: str
    protection: str
    happens: str
    why: str
    protects: str
    #: Which parts of the run are real, and which are not.
    real: str
    rfcs: Sequence[str]
    ask: Sequence[str]
    play: Callable[[Stage, bool], Result]

    def to_json(self) -> dict[str, Json]:
        """Returns the text of the lesson as JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "minutes": self.minutes,
            "question": self.question,
            "without": self.without,
            "with": self.protection,
            "happens": self.happens,
            "why": self.why,
            "protects": self.protects,
            "real": self.real,
            "rfcs": list(self.rfcs),
            "ask": list(self.ask),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A lesson that was run, without and with its protection."""

    lesson: Lesson
    sides: Sequence[Side]

    @property
    def as_expected(self) -> bool:
        """Whether each side ended as the lesson says."""
        return all(side.as_expected for side in self.sides)

    def to_json(self) -> dict[str, Json]:
        """Returns the lesson and its sides as JSON."""
        return {
            **self.lesson.to_json(),
            "sides": [side.to_json() for side in self.sides],
            "as_expected": self.as_expected,
        }
