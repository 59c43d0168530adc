"""Parser of the search language: words, "phrases", field:value, -not, OR, and parentheses.

from: to: subject: text: file:    words in those fields; prefixes match ("from:ali")
has:attachment  has:tag           before:2026-03  after:2026-03-01  newer:7d  older:1y
tag:invoice  folder:Sent  account:a@example.org  is:unread read flagged answered forwarded trash
larger:2M  smaller:100k
a OR b    a (b OR -c)    NOT (a b)    from:(alice OR bob)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from emailsys.client.archive.index_entry import is_one_word, spaced
from emailsys.client.archive.search_terms import All, Any_, Bound, Condition, Named, Not, Selection, Term, Words, select
from emailsys.client.archive.values import TRASH, BadQuery, order_of
from emailsys.client.archive.word_index import LONGEST_PREFIX
from emailsys.client.text.file_names import folded

# A sign, a field, and a phrase, the beginning of a group, or a word.
_TERM: Final = re.compile(r'\s*(-?)(?:([a-zA-Z]+):)?(?:"([^"]*)"?|(\()|([^\s"]\S*)?)')
# The fields and words of a search, without its structure.
_WRITTEN: Final = re.compile(r'(?:([a-zA-Z]+):)?(?:"([^"]*)"?|([^\s"()]\S*))')
_CLOSING: Final = re.compile(r"\s*\)")
_OPERATOR: Final = re.compile(r"\s*(OR|AND|NOT)(?=[\s()]|$)")
# Groups within groups. At about 30, the parsers of SQLite and FTS5 have no room left.
_MAX_DEPTH: Final = 20
# Terms of one search. SQLite accepts expressions that are 1,000 deep.
_MAX_TERMS: Final = 500
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
_TRASHED: Final = ("trash", "deleted")
_IN_TRASH: Final = Condition("f.name = ?", (TRASH,))
FIELDS: Final = (
    *_COLUMNS,
    *("has", "before", "after", "newer", "older", "tag", "folder", "in", "account", "is", "larger", "smaller"),
)


@dataclass(frozen=True, slots=True)
class Query:
    """A search. `names_trash` is whether it asks for messages in Trash: only then, it finds any there."""

    term: Term
    names_trash: bool

    def selection(self, folders: Sequence[tuple[str, str]]) -> Selection:
        """Translate the search for the index.

        @param folders: account and name of each folder in the index.
        @raise BadQuery: the query names a folder or an account that does not exist.
        """
        return select(self.term, folders)


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


def _bound(name: str, value: str, now: datetime) -> Bound:
    return Bound(order_of(_moment(value, now, name)), name in ("before", "older"))


def _state(name: str, value: str) -> Condition:
    """Return the condition of `has:` or `is:`."""
    if name == "has" and value in ("attachment", "attachments", "file"):
        return Condition("m.attachments > 0")
    if name == "has" and value in ("tag", "tags"):
        return Condition("EXISTS (SELECT 1 FROM tags t WHERE t.key = m.key)")
    if name == "has":
        raise BadQuery(f"has:{value}: there is has:attachment and has:tag")
    if value in _STATES:
        return Condition(_STATES[value])
    if value in _TRASHED:
        return _IN_TRASH
    raise BadQuery(f"is:{value}: there is {', '.join(f'is:{state}' for state in _STATES)} and is:trash")


def _field(name: str, value: str, now: datetime) -> Term:
    if name in ("before", "after", "newer", "older"):
        return _bound(name, value.lower(), now)
    if name in ("has", "is"):
        return _state(name, value.lower())
    if name == "tag":
        return Condition("m.key IN (SELECT key FROM tags WHERE tag = ?)", (value,))
    if name in ("folder", "in"):
        return Named("name", value, f"{name}:{value}")
    if name == "account":
        return Named("account", value, f"{name}:{value}")
    return Condition(f"m.octets {'>' if name == 'larger' else '<'} ?", (_size(value, name),))


def _no_words(signs: Sequence[str]) -> BadQuery:
    return BadQuery(f"{' '.join(signs)}: this has no letters, digits or symbols that can be searched for")


class _Parser:
    """Parses a search from left to right. `signs` are the words that no text is searched for, such as "&"."""

    def __init__(self, text: str, now: datetime) -> None:
        self._text = text
        self._now = now
        self._at = 0
        self._depth = self._terms = 0
        self.signs: list[str] = []

    def whole(self) -> Term:
        """Parse the whole text."""
        return self._either("")

    def _either(self, name: str) -> Term:
        """Parse groups of terms with OR between them. @param name: the field of terms that have none, or ""."""
        found = [self._each(name)]
        while self._operator("OR"):
            if found[-1] is None:
                raise _one_sided("OR")
            found.append(self._each(name))
        if len(found) == 1:
            return found[0] or All(())
        if found[-1] is None:
            raise _one_sided("OR")
        return Any_(tuple(filter(None, found)))

    def _each(self, name: str) -> Term | None:
        """Parse terms that must all match. Return None if there are none."""
        found: list[Term] = []
        signs = len(self.signs)
        is_open = False
        while not self._is_end():
            if self._operator("AND"):
                if not found or is_open:
                    raise _one_sided("AND")
                is_open = True
            elif self._peek("OR"):
                break
            elif (term := self._one(name)) is not None:
                found.append(term)
                is_open = False
        if is_open:
            raise _one_sided("AND")
        if len(self.signs) > signs and not any(isinstance(one, Words | All | Any_) for one in found):
            raise _no_words(self.signs)
        del self.signs[signs:]
        return found[0] if len(found) == 1 else All(tuple(found)) if found else None

    def _is_end(self) -> bool:
        return not self._text[self._at :].strip() or (
            bool(self._depth) and _CLOSING.match(self._text, self._at) is not None
        )

    def _peek(self, word: str) -> bool:
        found = _OPERATOR.match(self._text, self._at)
        return found is not None and found[1] == word

    def _operator(self, word: str) -> bool:
        found = _OPERATOR.match(self._text, self._at)
        if found is None or found[1] != word:
            return False
        self._at = found.end()
        return True

    def _one(self, outer: str) -> Term | None:
        """Parse one term. Return None for a sign."""
        self._terms += 1
        if self._terms > _MAX_TERMS:
            raise BadQuery(f"the search has more than {_MAX_TERMS} terms")
        if self._operator("NOT"):
            if self._is_end() or self._peek("OR") or self._peek("AND"):
                raise BadQuery('NOT: what? Put a word after it, or "NOT" into quotes to search for the word')
            excluded = self._one(outer)
            if excluded is None:
                raise _no_words(self.signs)
            return _not(excluded)
        found = _TERM.match(self._text, self._at)
        assert found is not None
        sign, name, phrase, group, word = found.groups()
        name, before = (name or "").lower(), ""
        begin = found.end() - len(group or word or "")
        self._at = found.end()
        if name and name not in FIELDS:
            # "Re:" and "http://example.org" are words.
            name, before, group = "", f"{found[2]}:", None
        if group is not None:
            term: Term | None = self._group(name or outer, found[0].strip())
        elif phrase is not None:
            term = self._term(name, outer, before + phrase, True, bool(sign))
        else:
            value = self._cut(before + (word or ""))
            self._at = begin + len(value) - len(before)
            term = self._term(name, outer, value, False, bool(sign))
        return _not(term) if sign and term is not None else term

    def _cut(self, word: str) -> str:
        """Return a word without the parentheses at its end that close a group."""
        while self._depth and word.endswith(")") and word.count(")") > word.count("("):
            word = word[:-1]
        return word

    def _group(self, name: str, begin: str) -> Term:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise BadQuery(f"there are more than {_MAX_DEPTH} parentheses within each other")
        term = self._either(name)
        closing = _CLOSING.match(self._text, self._at)
        if closing is None:
            raise BadQuery(f"{begin}: the parenthesis is not closed. To search for the sign, use quotes")
        if term == All(()):
            raise BadQuery(f"{begin}): there is nothing between the parentheses")
        self._at = closing.end()
        self._depth -= 1
        return term

    def _term(self, own: str, outer: str, value: str, is_phrase: bool, is_negated: bool) -> Term | None:
        """Return a term. @param own: its field, or "". @param outer: the field of its group, or ""."""
        name = own or outer
        if own and not value:
            raise BadQuery(f"{own}: what?")
        if name and name not in _COLUMNS:
            return _field(name, value, self._now)
        return self._word(name, value, is_phrase, is_negated)

    def _word(self, name: str, value: str, is_phrase: bool, is_negated: bool) -> Term | None:
        if not _WORD.search(spaced(value)):
            shown = f'"{value}"' if is_phrase else value
            self.signs.append(f"{'-' if is_negated else ''}{f'{name}:' if name else ''}{shown}")
            if name or is_negated:
                raise _no_words(self.signs)
            return None
        # Phrases and plain words match exactly; "word*" and words of address fields also match as prefixes.
        # A prefix of one letter would match too much.
        prefix = value.endswith("*") or (name in ("from", "to", "cc", "file", "attachment"))
        text = value.rstrip("*")
        prefix = prefix and len(text) > 1 and not is_phrase
        phrase = _phrase(text, prefix)
        if name:
            return Words(f"({_COLUMNS[name]} : {phrase})")
        is_single = is_one_word(text)
        return Words(f"({phrase})", is_single, is_single and prefix and len(text) <= LONGEST_PREFIX)


def _not(term: Term) -> Term:
    """Return the opposite of a term. SQLite's parser has a stack of 100, so that NOT NOT is left out."""
    return term.term if isinstance(term, Not) else Not(term)


def _names_trash(term: Term, is_negated: bool = False) -> bool:
    """Whether a term asks for messages in Trash. "-folder:Sent" and "-is:trash" do not."""
    match term:
        case Not(inner):
            return _names_trash(inner, not is_negated)
        case All(terms) | Any_(terms):
            return any(_names_trash(one, is_negated) for one in terms)
        case Named("name", name):
            return not is_negated and folded(name) == folded(TRASH)
        case _:
            return term == _IN_TRASH and not is_negated


def _one_sided(word: str) -> BadQuery:
    return BadQuery(f'{word} needs a term on each side. To search for the word, write "{word}" in quotes')


def parse_query(now: datetime, *texts: str) -> Query:
    """Parse searches that must all match. @raise BadQuery: a term is invalid; the message names it.

    Terms side by side must all match. OR binds less tightly, NOT and "-" more tightly. Signs that no text is searched
    for, such as "&", are ignored between words. Alone they would find everything.
    """
    parsers = [_Parser(text, now) for text in texts]
    found = [parser.whole() for parser in parsers]
    terms = [term for one in found for term in (one.terms if isinstance(one, All) else (one,))]
    whole = All(tuple(terms))
    return Query(whole, _names_trash(whole))


def unknown_field_warning(text: str) -> str:
    """Return a warning if a search contains terms that look like fields but are searched as words.

    @return: the warning, or "". "Re:" and "http://example.org" give none.
    """
    from difflib import get_close_matches

    warnings = []
    for found in _WRITTEN.finditer(text):
        name = (found[1] or "").lower()
        value = found[2] if found[2] is not None else found[3]
        if found[0] == "or" and 0 < found.start() < found.end() < len(text):
            warnings.append('or is searched as a word; for one or the other, write OR; for the word, write "or"')
        if name and name not in FIELDS and value and not value.startswith("//"):
            near = get_close_matches(name, FIELDS, n=1)
            meant = f"did you mean {near[0]}:?" if near else f"there are {', '.join(f'{field}:' for field in FIELDS)}"
            warnings.append(f"{name}: is not a field, so {name}:{value} is searched as words; {meant}")
    return "; ".join(dict.fromkeys(warnings))
