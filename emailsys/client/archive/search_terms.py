"""Terms of a search, and their translation into one FTS5 expression and SQL conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from emailsys.client.archive.values import BadQuery
from emailsys.client.text.file_names import folded
from emailsys.client.text.terminal import safe_line

# The tables of words: see `word_index`.
_WORDS: Final = "words"
_PREFIXES: Final = "prefixes"


@dataclass(frozen=True, slots=True)
class Words:
    """Words in the text of a message: an FTS5 expression in parentheses.

    `is_single` is whether it is one word in any field, and `is_short_prefix` whether it is a prefix of one that the
    table `prefixes` finds faster: many words begin with it.
    """

    match: str
    is_single: bool = False
    is_short_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL condition on m (messages) and f (folders), with its values."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """Message numbers, which sort by date: below `order`, or from it on."""

    order: int
    is_below: bool


@dataclass(frozen=True, slots=True)
class Named:
    """The name of a folder or an account in any case, which SQLite compares for ASCII only.

    `column` is "name" or "account", and `term` is the term as it was written.
    """

    column: str
    name: str
    term: str


@dataclass(frozen=True, slots=True)
class Not:
    """Messages that do not match a term."""

    term: Term


@dataclass(frozen=True, slots=True)
class All:
    """Messages that match all terms."""

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Any_:
    """Messages that match at least one term."""

    terms: tuple[Term, ...]


Term = Words | Condition | Bound | Named | Not | All | Any_


@dataclass(slots=True)
class Selection:
    """A translated search: an FTS5 expression, "" for none; SQL conditions; and bounds of the message numbers.

    `table` is the table of words that the expression is for.
    """

    match: str = ""
    table: str = _WORDS
    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    least: int | None = None
    most: int | None = None


def select(term: Term, folders: Sequence[tuple[str, str]]) -> Selection:
    """Translate a search.

    Terms that every message must match become bounds and one FTS5 expression where possible: the index scans the words
    in order of date, and stops at the limit of the list.

    @param folders: account and name of each folder in the index.
    @raise BadQuery: the search names a folder or an account that does not exist.
    """
    selection = Selection()
    terms = term.terms if isinstance(term, All) else (term,)
    words = [one for one in terms if _match(one)]
    selection.table = _table(All(tuple(words)))
    if selection.table == _WORDS:
        # The table of prefixes finds the others.
        words = [one for one in words if _table(one) == _WORDS]
    unwanted = [one for one in terms if isinstance(one, Not) and _match(one.term)] if words else []
    unwanted = [one for one in unwanted if _is_for(selection.table, one.term)]
    selection.match = _match(All((*words, *unwanted))) if words else ""
    for one in terms:
        if isinstance(one, Bound):
            if one.is_below:
                selection.most = one.order if selection.most is None else min(selection.most, one.order)
            else:
                selection.least = one.order if selection.least is None else max(selection.least, one.order)
        elif one not in words and one not in unwanted:
            selection.conditions.append(_sql(one, selection.values, folders))
    return selection


def _all_words(term: Term) -> list[Words]:
    match term:
        case Words():
            return [term]
        case Not(inner):
            return _all_words(inner)
        case All(terms) | Any_(terms):
            return [words for one in terms for words in _all_words(one)]
        case _:
            return []


def _table(term: Term) -> str:
    """Return the table that finds the words of a term faster."""
    words = _all_words(term)
    is_for_prefixes = all(one.is_single for one in words) and any(one.is_short_prefix for one in words)
    return _PREFIXES if is_for_prefixes else _WORDS


def _is_for(table: str, term: Term) -> bool:
    """Whether a table can find the words of a term, and fast."""
    return _table(term) == table or (table == _PREFIXES and all(one.is_single for one in _all_words(term)))


def _match(term: Term) -> str:
    """Return an FTS5 expression for a term, or "" if FTS5 has none."""
    match term:
        case Words(match):
            return match
        case Any_(terms):
            each = [_match(one) for one in terms]
            return f"({' OR '.join(each)})" if all(each) else ""
        case All(terms):
            wanted = [_match(one) for one in terms if not isinstance(one, Not)]
            unwanted = [_match(one.term) for one in terms if isinstance(one, Not)]
            if not wanted or not all(wanted) or not all(unwanted):
                return ""
            both = f"({' AND '.join(wanted)})"
            return f"({both} NOT ({' OR '.join(unwanted)}))" if unwanted else both
        case _:
            return ""


def _sql(term: Term, values: list[Any], folders: Sequence[tuple[str, str]]) -> str:
    """Return an SQL condition for a term, and add its values."""
    if match := _match(term):
        values.append(match)
        table = _table(term)
        return f"m.id IN (SELECT rowid FROM {table} WHERE {table} MATCH ?)"  # noqa: S608 -- the table's name is ours
    match term:
        case Condition(sql, its_values):
            values.extend(its_values)
            return f"({sql})"
        case Bound(order, is_below):
            values.append(order)
            return f"m.id {'<' if is_below else '>='} ?"
        case Named():
            alike = _alike(term, folders)
            values.extend(alike)
            return f"f.{term.column} IN ({', '.join('?' * len(alike))})"
        case Not(inner):
            return f"NOT {_sql(inner, values, folders)}"
        case All(terms) | Any_(terms):
            word = " AND " if isinstance(term, All) else " OR "
            return f"({word.join([_sql(one, values, folders) for one in terms])})"
    raise AssertionError(term)


def _alike(term: Named, folders: Sequence[tuple[str, str]]) -> list[str]:
    names = dict.fromkeys(folder[term.column == "name"] for folder in folders)
    alike = [one for one in names if folded(one) == folded(term.name)]
    if not alike:
        raise BadQuery(f"{term.term}: there is none of that name; there are {', '.join(map(safe_line, names))}")
    return alike
