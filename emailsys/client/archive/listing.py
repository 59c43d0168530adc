"""Pages of a message list: in any order of sorting, and with the conversations as trees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from emailsys.client.archive.index import SUMMARY, Index, summary
from emailsys.client.archive.query import Query
from emailsys.client.archive.sorting import VALUES, SortBy
from emailsys.client.archive.trees import Node, tree
from emailsys.client.archive.values import TRASH, Folder, Summary

# Conversations on one page.
_THREADS: Final = 100
# A list of numbers, as JSON.
_NUMBERS: Final = "(SELECT value FROM json_each(?))"
# A conversation with more messages is listed message by message: anybody can write messages that refer to one id.
_LARGEST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Arrangement:
    """The order of a list: what it is sorted by, in which direction, and whether conversations are trees.

    A conversation has the place of its newest message if the list is sorted by date, or else that of its first one.
    """

    by: SortBy = SortBy.DATE
    is_ascending: bool = False
    threads: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """The messages of a list: a folder, the folders of one name in all accounts, a conversation, or a search."""

    folder: Folder | None = None
    everywhere: str | None = None
    conversation: int | None = None
    query: Query | None = None
    account: str | None = None


#: The place of a row or of a conversation in a list, from which the list goes on.
Place = tuple[Any, int]


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of a list: a message, and its depth in the tree of its conversation, from 0."""

    summary: Summary
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list.

    - `first` and `last` are the places where other pages follow; None if the page is empty.
    - `is_end` is whether no page follows in the direction in which the list was read.
    """

    rows: Sequence[Listed]
    first: Place | None
    last: Place | None
    is_end: bool


def read_page(
    index: Index,
    scope: Scope,
    arrangement: Arrangement,
    limit: int,
    beyond: Place | None = None,
    from_end: bool = False,
) -> Page:
    """Read a page of a list.

    @param limit: messages on the page; a page of conversations has as many conversations, but at most 100.
    @param beyond: read on from this place; None for the first page.
    @param from_end: read from the end of the list towards its beginning. The rows are in the order of the list.
    @raise BadQuery: the search of the scope names a folder or an account that does not exist.
    """
    ascending = arrangement.is_ascending != from_end
    tables, conditions, values = _where(index, scope)
    if arrangement.threads:
        page = _threads_page(
            index, (tables, conditions, values), arrangement.by, ascending, min(limit, _THREADS), beyond
        )
    else:
        page = _flat_page(index, (tables, conditions, values), arrangement.by, ascending, limit, beyond)
    if not from_end:
        return page
    return replace(page, rows=_reversed(page.rows), first=page.last, last=page.first)


def count(index: Index, scope: Scope) -> int:
    """Return the number of messages of a list. @raise BadQuery: as `read_page`."""
    tables, conditions, values = _where(index, scope)
    row = index.connection.execute(f"SELECT count(*) {tables} WHERE {' AND '.join(conditions) or '1'}", values)
    return int(row.fetchone()[0])


def _reversed(rows: Sequence[Listed]) -> list[Listed]:
    """Return rows with the conversations in reverse order, each of them with its messages as they were."""
    blocks: list[list[Listed]] = []
    for row in rows:
        if row.depth == 0 or not blocks:
            blocks.append([])
        blocks[-1].append(row)
    return [row for block in reversed(blocks) for row in block]


_Where = tuple[str, list[str], list[Any]]


def _where(index: Index, scope: Scope) -> _Where:
    tables = "FROM messages m JOIN folders f USING (folder)"
    if scope.folder is not None:
        number = "(SELECT folder FROM folders WHERE account = ? AND name = ?)"
        return tables, [f"m.folder = {number}"], [scope.folder.account, scope.folder.name]
    if scope.everywhere is not None:
        # The sign keeps SQLite from collecting and sorting all of these folders: it reads by date, up to the limit.
        return tables, ["+m.folder IN (SELECT folder FROM folders WHERE name = ?)"], [scope.everywhere]
    if scope.conversation is not None:
        return tables, ["m.thread = ?"], [scope.conversation]
    conditions: list[str] = []
    values: list[Any] = []
    if scope.query is not None:
        folders = index.connection.execute("SELECT account, name FROM folders ORDER BY account, name").fetchall()
        selection = scope.query.selection(folders)
        if selection.match:
            # The words are scanned first, already in order of date, so that a list by date stops at its limit.
            tables = "FROM words CROSS JOIN messages m ON m.id = words.rowid JOIN folders f USING (folder)"
            conditions.append("words MATCH ?")
            values.append(selection.match)
        conditions += selection.conditions
        values += selection.values
        number = "words.rowid" if selection.match else "m.id"
        for sign, bound in ((">=", selection.least), ("<", selection.most)):
            if bound is not None:
                conditions.append(f"{number} {sign} ?")
                values.append(bound)
    if scope.account is not None:
        conditions.append("f.account = ?")
        values.append(scope.account)
    if scope.query is None or not scope.query.names_trash:
        conditions.append("m.folder NOT IN (SELECT folder FROM folders WHERE name = ?)")
        values.append(TRASH)
    return tables, conditions, values


def _flat_page(index: Index, where: _Where, by: SortBy, ascending: bool, limit: int, beyond: Place | None) -> Page:
    tables, conditions, values = where[0], [*where[1]], [*where[2]]
    value, sign, way = VALUES[by], ">" if ascending else "<", "ASC" if ascending else "DESC"
    # FTS5 sorts by its own number only.
    number = "words.rowid" if tables.startswith("FROM words") else "m.id"
    if by is SortBy.DATE:
        value = number
    if beyond is not None:
        conditions.append(f"{number} {sign} ?" if by is SortBy.DATE else f"({value}, m.id) {sign} (?, ?)")
        values += beyond[1:] if by is SortBy.DATE else beyond
    order = f"{number} {way}" if by is SortBy.DATE else f"{value} {way}, m.id {way}"
    found = index.connection.execute(
        f"SELECT {SUMMARY}, {value} {tables} WHERE {' AND '.join(conditions) or '1'} ORDER BY {order} LIMIT ?",
        (*values, limit),
    ).fetchall()
    places = [(row[-1], row[0]) for row in found]
    return Page([Listed(summary(row)) for row in found], *_ends(places), len(found) < limit)


def _ends(places: Sequence[Place]) -> tuple[Place | None, Place | None]:
    return (places[0], places[-1]) if places else (None, None)


def _threads_page(index: Index, where: _Where, by: SortBy, ascending: bool, limit: int, beyond: Place | None) -> Page:
    tables, conditions, values = where
    matching = f"{tables} WHERE {' AND '.join(conditions) or '1'}"
    large = index.connection.execute(
        "SELECT thread FROM messages GROUP BY thread HAVING count(*) > ?", (_LARGEST,)
    ).fetchall()
    # A message of a large conversation is one of its own, by its negative number.
    thread = "m.thread"
    if large:
        thread = f"CASE WHEN m.thread IN ({', '.join(str(number) for (number,) in large)}) THEN -m.id ELSE m.thread END"
    sign, way = (">", "ASC") if ascending else ("<", "DESC")
    # SQLite takes the value of the row that has the smallest or the largest number.
    value = "max(m.id)" if by is SortBy.DATE else VALUES[by]
    least = "" if by is SortBy.DATE else ", min(m.id)"
    grouped = f"SELECT {value} AS value, {thread} AS conversation{least} {matching} GROUP BY conversation"
    grouped = f"FROM ({grouped})"
    more = f"WHERE (value, conversation) {sign} (?, ?)" if beyond is not None else ""
    places = index.connection.execute(
        f"SELECT value, conversation {grouped} {more} ORDER BY value {way}, conversation {way} LIMIT ?",
        (*values, *(beyond or ()), limit),
    ).fetchall()
    rows = _trees(index, where, [number for _, number in places])
    return Page(rows, *_ends(places), len(places) < limit)


def _trees(index: Index, where: _Where, conversations: Sequence[int]) -> list[Listed]:
    """Return the messages of conversations, in this order, each as a tree."""
    tables, conditions, values = where
    # A message of a large conversation stands for itself.
    singles = [-number for number in conversations if number < 0]
    whole = {number for number in conversations if number >= 0}
    found = index.connection.execute(
        f"""SELECT {SUMMARY}, m.ancestors {tables} WHERE {" AND ".join((*conditions, "1"))}
        AND (m.thread IN {_NUMBERS} OR m.id IN {_NUMBERS}) ORDER BY m.id""",
        (*values, json.dumps([*whole]), json.dumps(singles)),
    )
    nodes: dict[int, list[Node]] = {}
    for row in found:
        one = summary(row)
        number = one.thread if one.thread in whole else -one.order
        nodes.setdefault(number, []).append(Node(one, row[-1].split()))
    return [Listed(node.summary, depth) for number in conversations for node, depth in tree(nodes.get(number, []))]
