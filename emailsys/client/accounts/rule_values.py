"""Rules of an account: which fetched messages go into which folder, with which marks."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

#: The pattern that any value matches, but not a missing field.
ANY_VALUE: Final = "*"


class Place(enum.Enum):
    """The parts of a message that a condition looks at."""

    FROM = "from"
    TO = "to"
    SUBJECT = "subject"
    LIST = "list"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition: one of `patterns` is in a place. `header` is the name of the header field if that is the place."""

    place: Place
    patterns: tuple[str, ...]
    header: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. A message that meets all conditions gets the folder and the marks.

    - `larger`, `smaller`: sizes in octets that the message exceeds, or stays below.
    - `folder`: a folder of the account; None leaves the message where it is.
    - `stop`: no later rule is looked at.
    - `line`: where it begins in the file, 0 if that is not known.
    """

    name: str
    conditions: tuple[Condition, ...] = ()
    larger: int | None = None
    smaller: int | None = None
    folder: str | None = None
    tags: tuple[str, ...] = ()
    flag: bool = False
    read: bool = False
    stop: bool = False
    line: int = field(default=0, compare=False)
