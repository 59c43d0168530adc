"""The safeguards of the store as mutants: the edit that takes one out, and the harness that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Mutant:
    """A safeguard taken out.

    @ivar why: what the safeguard prevents.
    @ivar edits: file, text, and the text in its place.
    @ivar harness: the harness that must end with 1, and its options.
    @ivar tries: runs that the harness has, where chance decides.
    """

    name: str
    why: str
    edits: tuple[tuple[str, str, str], ...]
    harness: tuple[str, ...]
    tries: int = 1


MUTANTS: Final = (
    Mutant(
        "commit-not-synced",
        "A power cut after a 250 loses the message.",
        (("emailsys/store/sqlite.py", "PRAGMA synchronous=FULL;", "PRAGMA synchronous=NORMAL;"),),
        ("power_loss", "--seconds", "4", "--cuts", "60"),
    ),
    Mutant(
        "reply-before-commit",
        "SIGKILL after a 250 loses the message.",
        (
            (
                "emailsys/store/intake.py",
                "            await self._intake.database.insert(rows)\n",
                "            Deferred.fromCoroutine(self._intake.database.insert(rows))\n",
            ),
        ),
        ("kill_rounds", "--rounds", "5"),
        tries=3,
    ),
)
