"""Findings about a host or a certificate: each has a verdict in plain words and, if it is not good, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from emailsys.wiretap.conversation import Json


class Verdict(StrEnum):
    """How a finding is to be judged."""

    GOOD = "good"
    #: Worth knowing, and neither good nor bad.
    NOTE = "note"
    #: The test could not be made.
    UNTESTED = "untested"
    #: It should be changed, but attackers cannot use it directly.
    WEAK = "weak"
    #: Attackers can use it: to read, to change or to send mail, or to pose as the host.
    BAD = "bad"


_ORDER: Final = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    @ivar check: what was checked, in a word or two, as in `dates`.
    @ivar text: what was found, in a sentence.
    @ivar advice: what to do about it; "" if nothing.
    @ivar about: what the finding is about, as in a subject of a certificate; "" for the host.
    """

    check: str
    verdict: Verdict
    text: str
    advice: str = ""
    about: str = ""

    def to_json(self) -> dict[str, Json]:
        """Returns the finding as JSON; what is empty is left out."""
        found: dict[str, Json] = {"check": self.check, "verdict": str(self.verdict), "text": self.text}
        if self.advice:
            found["advice"] = self.advice
        if self.about:
            found["about"] = self.about
        return found


def worst(findings: Iterable[Finding]) -> Verdict:
    """Returns the worst verdict, GOOD if there is none."""
    return max((finding.verdict for finding in findings), key=_ORDER.index, default=Verdict.GOOD)
