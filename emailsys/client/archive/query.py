"""Parser of the search language: words, "phrases", field:value, -not.

from: to: subject: text: file:    words in those fields; prefixes match ("from:ali")
has:attachment  has:tag           before:2026-03  after:2026-03-01  newer:7d  older:1y
tag:invoice  folder:Sent  account:a@example.org  is:unread read flagged answered forwarded trash
larger:2M  smaller:100k
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from emailsys.client.archive.index_entry import spaced
from emailsys.client.archive.values import TRASH, BadQuery, order_of
from emailsys.client.text.terminal import safe_line

_TERM: Final = re.compile(r'\s*(-?)(?:([a-zA-Z]+):)?(?:"([^"]*)"?|(\S*))')
_WORD: Final = re.compile(r"[^\W_]")
_DATE: Final = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
_AGE: Final = re.compile(r"(\d{1,5})([hdwmy])")
_SIZE: Final = re.compile(r"(\d{1,12})([kKmMgG]?)[bB]?")
_HOURS: Final = {"h": 1, "d": 24, "w": 168, "m": 730, "y": 8766}
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_COLUMNS: Final = {
    "from": "sender",
    "to": "recipients",
    "cc": "recipients",
    "subject": "subject",
    "text": "body",
    "body": "body",
    "file": "attachments",
    "attachment": "attachments",
}
_STATES: Final = {
    "unread": "m.flags & 1 = 0",
    "unseen": "m.flags & 1 = 0",
    "read": "m.flags & 1 != 0",
    "seen": "m.flags & 1 != 0",
    "answered": "m.flags & 2 != 0",
    "replied": "m.flags & 2 != 0",
    "flagged": "m.flags & 4 != 0",
    "starred": "m.flags & 4 != 0",
    "forwarded": "m.flags & 8 != 0",
}
FIELDS: Final = (
    *_COLUMNS,
    *("has", "before", "after", "newer", "older", "tag", "folder", "in", "account", "is", "larger", "smaller"),
)


@dataclass(slots=True)
class Query:
    """A search for the index: an FTS5 expression, and SQL conditions with their values.

    `least` and `most` are bounds of the message numbers, which sort by date.
    """

    match: str = ""
    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    least: int | None = None
    most: int | None = None
    names_folder: bool = False
    #: Terms that name a folder or an account: the column of the index, the name, the term as it was written, and
    #: whether it is negated. The index finds the names in any case, which SQLite does for ASCII only.
    named: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def _add(self, negated: bool, condition: str, *values: Any) -> None:
        self.conditions.append(f"NOT ({condition})" if negated else condition)
        self.values.extend(values)

    def filters(self, folders: Sequence[tuple[str, str]]) -> tuple[list[str], list[Any]]:
        """Return the conditions and their values, with those of the terms that name a folder or an account.

        @param folders: account and name of each folder in the index.
        @raise BadQuery: the query names a folder or an account that does not exist.
        """
        conditions, values = list(self.conditions), list(self.values)
        for column, name, term, is_negated in self.named:
            names = dict.fromkeys(folder[column == "name"] for folder in folders)
            alike = [one for one in names if _folded(one) == _folded(name)]
            if not alike:
                raise BadQuery(f"{term}: there is none of that name; there are {', '.join(map(safe_line, names))}")
            marks = ", ".join("?" * len(alike))
            conditions.append(f"f.{column} {'NOT ' if is_negated else ''}IN ({marks})")
            values += alike
        return conditions, values


def _folded(name: str) -> str:
    """Return a name for comparison, without case and in one form: some systems write file names in NFD."""
    return unicodedata.normalize("NFC", name.casefold())


def _phrase(text: str, prefix: bool) -> str:
    quoted = spaced(text).replace('"', " ").replace("\x00", " ").strip()
    return f'"{quoted}"*' if prefix else f'"{quoted}"'


def _moment(value: str, now: datetime, name: str) -> datetime:
    """Parse a date or an age. A year, month, or day gives its first moment in the time zone of `now`."""
    if age := _AGE.fullmatch(value):
        try:
            return now - timedelta(hours=int(age[1]) * _HOURS[age[2]])
        except OverflowError:
            # Before the first date that Python knows, and before every message.
            return datetime(1, 1, 2, tzinfo=now.tzinfo)
    if value == "today":
        return now.replace(hour=0, minute=0, second=0, microsecond=0)
    if value == "yesterday":
        return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    if found := _DATE.fullmatch(value.replace("/", "-")):
        try:
            return datetime(int(found[1]), int(found[2] or 1), int(found[3] or 1), tzinfo=now.tzinfo)
        except ValueError:
            pass
    raise BadQuery(f"{name}:{value}: a date is written 2026, 2026-03, 2026-03-09, 7d, 2w, 6m, 1y, today or yesterday")


def _size(value: str, name: str) -> int:
    found = _SIZE.fullmatch(value)
    if found is None:
        raise BadQuery(f"{name}:{value}: a size is written 2000, 100k or 2M")
    # SQLite has integers of 64 bits.
    return min(int(found[1]) * _UNITS[found[2].lower()], 1 << 62)


def _dated(query: Query, negated: bool, name: str, value: str, now: datetime) -> None:
    order = order_of(_moment(value, now, name))
    is_before = (name in ("before", "older")) != negated
    if is_before:
        query.most = order if query.most is None else min(query.most, order)
    else:
        query.least = order if query.least is None else max(query.least, order)


def _listed(query: Query, negated: bool, name: str, value: str) -> None:
    """Add a condition of `has:` or `is:`."""
    if name == "has" and value in ("attachment", "attachments", "file"):
        query._add(negated, "m.attachments > 0")
    elif name == "has" and value in ("tag", "tags"):
        query._add(negated, "EXISTS (SELECT 1 FROM tags t WHERE t.key = m.key)")
    elif name == "has":
        raise BadQuery(f"has:{value}: there is has:attachment and has:tag")
    elif value in _STATES:
        query._add(negated, _STATES[value])
    elif value in ("trash", "deleted"):
        query.names_folder = True
        query._add(negated, "f.name = ?", TRASH)
    else:
        raise BadQuery(f"is:{value}: there is {', '.join(f'is:{state}' for state in _STATES)} and is:trash")


def _field(query: Query, negated: bool, name: str, value: str, now: datetime) -> None:
    if name in ("before", "after", "newer", "older"):
        _dated(query, negated, name, value.lower(), now)
    elif name in ("has", "is"):
        _listed(query, negated, name, value.lower())
    elif name == "tag":
        query._add(negated, "m.key IN (SELECT key FROM tags WHERE tag = ?)", value)
    elif name in ("folder", "in"):
        query.names_folder = True
        query.named.append(("name", value, f"{name}:{value}", negated))
    elif name == "account":
        query.named.append(("account", value, f"{name}:{value}", negated))
    elif name == "larger":
        query._add(negated, "m.octets > ?", _size(value, name))
    else:
        query._add(negated, "m.octets < ?", _size(value, name))


def _no_words(signs: list[str]) -> BadQuery:
    return BadQuery(f"{' '.join(signs)}: this has no letters, digits or symbols that can be searched for")


def parse_query(text: str, now: datetime) -> Query:
    """Parse a search. A message must match all terms. @raise BadQuery: a term is invalid; the message names it.

    Signs that no text is searched for, such as "&", are ignored between words. Alone they would find everything.
    """
    query = Query()
    signs: list[str] = []
    wanted: list[str] = []
    unwanted: list[str] = []
    for found in _TERM.finditer(text):
        if not found[0].strip():
            continue
        negated = found[1] == "-"
        name = (found[2] or "").lower()
        value = found[3] if found[3] is not None else found[4]
        if name and name not in FIELDS:
            # "Re:" and "http://example.org" are words.
            value, name = f"{found[2]}:{value}", ""
        if name and not value:
            raise BadQuery(f"{name}: what?")
        if name and name not in _COLUMNS:
            _field(query, negated, name, value, now)
        elif not _WORD.search(spaced(value)):
            signs.append(found[0].strip())
            if name or negated:
                raise _no_words(signs)
        else:
            # Phrases and plain words match exactly; "word*" and words of address fields also match as prefixes.
            # A prefix of one letter would match too much.
            prefix = value.endswith("*") or (name in ("from", "to", "cc", "file", "attachment"))
            prefix = prefix and len(value.rstrip("*")) > 1
            phrase = _phrase(value.rstrip("*"), prefix and found[3] is None)
            term = f"{_COLUMNS[name]} : {phrase}" if name else phrase
            (unwanted if negated else wanted).append(f"({term})")
    if signs and not wanted:
        raise _no_words(signs)
    query.match = " AND ".join(wanted)
    if unwanted and wanted:
        query.match = f"({query.match}) NOT ({' OR '.join(unwanted)})"
    elif unwanted:
        query._add(True, "m.id IN (SELECT rowid FROM words WHERE words MATCH ?)", " OR ".join(unwanted))
    return query


def unknown_field_warning(text: str) -> str:
    """Return a warning if a search contains terms that look like fields but are searched as words.

    @return: the warning, or "". "Re:" and "http://example.org" give none.
    """
    from difflib import get_close_matches

    warnings = []
    for found in _TERM.finditer(text):
        name = (found[2] or "").lower()
        value = found[3] if found[3] is not None else found[4]
        if name and name not in FIELDS and value and not value.startswith("//"):
            near = get_close_matches(name, FIELDS, n=1)
            meant = f"did you mean {near[0]}:?" if near else f"there are {', '.join(f'{field}:' for field in FIELDS)}"
            warnings.append(f"{name}: is not a field, so {name}:{value} is searched as words; {meant}")
    return "; ".join(dict.fromkeys(warnings))
