"""Tables of explanations: TOML files beside this module, so that their authors need no Python."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

_SMTP: Final = "smtp"
_POP3: Final = "pop3"
_NUMBER: Final = re.compile(r"RFC (\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """A word of a line and what it means: a parameter, an extension, an enhanced status code."""

    word: str
    meaning: str
    rfc: str

    @property
    def standard(self) -> str:
        """The standard with its title."""
        return with_title(self.rfc)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The meaning of a line, in plain sentences.

    `rfc` names the standard and its section. `follows` says what may come next, "" if that is nothing special.
    """

    title: str
    meaning: str
    rfc: str = ""
    follows: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def standard(self) -> str:
        """The standard with its section and title, "" if it has none."""
        return with_title(self.rfc)

    @property
    def standards(self) -> frozenset[int]:
        """The numbers of the RFCs that it and its parts name."""
        named = (self.rfc, *(part.rfc for part in self.parts))
        return frozenset(int(found[1]) for one in named if (found := _NUMBER.match(one)))


@cache
def table(name: str) -> Mapping[str, Any]:
    """Returns one of the tables: smtp, pop3, status, sasl, tls, events, rfc."""
    return tomllib.loads(resources.files(__package__).joinpath(f"{name}.toml").read_text("utf-8"))


def title_of(number: int) -> str:
    """Returns the title of an RFC, "" if no explanation names it."""
    title: str = table("rfc")["rfc"].get(str(number), "")
    return title


def with_title(rfc: str) -> str:
    """Returns the name of a standard and its section, followed by its title."""
    found = _NUMBER.match(rfc)
    title = title_of(int(found[1])) if found else ""
    return f"{rfc} ({title})" if title else rfc


def table_of(protocol: str) -> str:
    """Returns the name of the table of a protocol. POP3S is POP3; submission and LMTP are SMTP."""
    return _POP3 if protocol.lower().startswith(_POP3) else _SMTP


def explanation(entry: Mapping[str, Any], parts: tuple[Part, ...] = (), verb: str | None = None) -> Explanation:
    """Returns an entry of a table as a value.

    @param verb: the command that a reply answers: an entry may have other words for it.
    """
    meaning, follows = entry["meaning"], entry.get("follows", "")
    if verb is not None:
        meaning = entry.get("after", {}).get(verb, meaning)
        follows = entry.get("next", {}).get(verb, follows)
    return Explanation(entry["title"], meaning, entry["rfc"], follows, parts)


def part(word: str, entry: Mapping[str, Any]) -> Part:
    """Returns an entry of a table as a part of a line."""
    title: str = entry["title"]
    return Part(word, f"{title[:1].upper()}{title[1:]}. {entry['meaning']}", entry["rfc"])
