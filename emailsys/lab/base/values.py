"""Values of the lab: what one run of a lesson showed, and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emailsys.wiretap.conversation import Conversation, Json


class LessonFailed(Exception):
    """A lesson could not be played to its end. The message says what did not happen."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run: what happens, in plain words, and the conversations that show it."""

    title: str
    text: str
    conversations: Sequence[Conversation] = ()

    def to_json(self) -> dict[str, Json]:
        """Returns the step as JSON."""
        return {
            "title": self.title,
            "text": self.text,
            "conversations": [conversation.to_json() for conversation in self.conversations],
        }


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run with or without the protection.

    `harmed` answers the lesson's question, and is computed from octets that were sent in this run. `evidence` quotes
    them.
    """

    steps: Sequence[Step]
    harmed: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Side:
    """A run of a lesson with or without its protection."""

    is_protected: bool
    protection: str
    result: Result
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Whether the harm was done without the protection, or prevented by it."""
        return self.result.harmed is not self.is_protected

    def to_json(self) -> dict[str, Json]:
        """Returns the side as JSON."""
        return {
            "protected": self.is_protected,
            "protection": self.protection,
            "seconds": round(self.seconds, 3),
            "steps": [step.to_json() for step in self.result.steps],
            "harmed": self.result.harmed,
            "evidence": self.result.evidence,
            "as_expected": self.as_expected,
        }
