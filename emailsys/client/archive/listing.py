"""Pages of a message list: in any order of sorting, and with the conversations as trees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final

from emailsys.client.archive.index import Index
from emailsys.client.archive.message_rows import SUMMARY, summary
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
            words = selection.table
            tables = f"FROM {words} CROSS JOIN messages m ON m.id = {words}.rowid JOIN folders f USING (folder)"
            conditions.append(f"{words} MATCH ?")
            values.append(selection.match)
        conditions += selection.conditions
        values += selection.values
        number = _number(tables)
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


def _number(tables: str) -> str:
    """Return the column of the message numbers by which tables are sorted. FTS5 sorts by its own number only."""
    first = tables.split()[1]
    return "m.id" if first == "messages" else f"{first}.rowid"


def _flat_page(index: Index, where: _Where, by: SortBy, ascending: bool, limit: int, beyond: Place | None) -> Page:
    tables, conditions, values = where[0], [*where[1]], [*where[2]]
    value, sign, way = VALUES[by], ">" if ascending else "<", "ASC" if ascending else "DESC"
    number = _number(tables)
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
    if by is not SortBy.DATE or ascending:
        places = _sorted_conversations(index, matching, values, thread, by, ascending, limit, beyond)
        rows = _trees(index, where, [number for _, number in places])
    elif _number(tables) == "m.id":
        places, _ = _newest_conversations(index, matching, values, thread, "m.id", limit, beyond, False)
        rows = _trees(index, where, [number for _, number in places])
    else:
        # The words are looked up once, because that can take most of the time.
        number = _number(tables)
        places, found = _newest_conversations(index, matching, values, thread, number, limit, beyond, True)
        only = ("FROM messages m JOIN folders f USING (folder)", [f"m.id IN {_NUMBERS}"], [json.dumps(found)])
        rows = _trees(index, only, [number for _, number in places])
    return Page(rows, *_ends(places), len(places) < limit)


def _newest_conversations(
    index: Index,
    matching: str,
    values: Sequence[Any],
    thread: str,
    number: str,
    limit: int,
    beyond: Place | None,
    with_messages: bool,
) -> tuple[list[Place], list[int]]:
    """Return the places of conversations, the newest first, and the numbers of their messages that match.

    Reads the matching messages from the newest one on, and no more than needed.

    @param thread: the SQL expression of the conversation. `number` is that of the message number.
    @param with_messages: whether the numbers of all their messages are returned, and not of the newest ones only.
    """
    places: list[Place] = []
    numbers: list[int] = []
    seen: set[int] = set()
    chosen: set[int] = set()
    least = 0
    rows = index.connection.execute(f"SELECT {number}, {thread} {matching} ORDER BY {number} DESC", values)
    with closing(rows):
        for one, conversation in rows:
            if one < least:
                break
            # A conversation has the place of its newest message, which comes first.
            if conversation not in seen and len(places) < limit:
                seen.add(conversation)
                if beyond is None or one < beyond[0]:
                    places.append((one, conversation))
                    chosen.add(conversation)
                    if len(places) == limit:
                        if not with_messages:
                            break
                        least = _first_message(index, chosen)
            if conversation in chosen:
                numbers.append(one)
    return places, numbers


def _first_message(index: Index, conversations: AbstractSet[int]) -> int:
    """Return the lowest message number of conversations. A negative number stands for one message."""
    numbers = json.dumps([*conversations])
    (least,) = index.connection.execute(
        f"SELECT min(id) FROM messages WHERE thread IN {_NUMBERS}",  # noqa: S608
        (numbers,),
    ).fetchone()
    singles = [-one for one in conversations if one < 0]
    return min(singles if least is None else [*singles, int(least)])


def _sorted_conversations(
    index: Index,
    matching: str,
    values: Sequence[Any],
    thread: str,
    by: SortBy,
    ascending: bool,
    limit: int,
    beyond: Place | None,
) -> list[Place]:
    """Return the places of conversations in any order."""
    sign, way = (">", "ASC") if ascending else ("<", "DESC")
    # SQLite takes the value of the row that has the smallest or the largest number.
    value = "max(m.id)" if by is SortBy.DATE else VALUES[by]
    least = "" if by is SortBy.DATE else ", min(m.id)"
    grouped = f"SELECT {value} AS value, {thread} AS conversation{least} {matching} GROUP BY conversation"
    grouped = f"FROM ({grouped})"
    more = f"WHERE (value, conversation) {sign} (?, ?)" if beyond is not None else ""
    return index.connection.execute(
        f"SELECT value, conversation {grouped} {more} ORDER BY value {way}, conversation {way} LIMIT ?",
        (*values, *(beyond or ()), limit),
    ).fetchall()


def _trees(index: Index, where: _Where, conversations: Sequence[int]) -> list[Listed]:
    """Return the messages of conversations, in this order, each as a tree."""
    tables, conditions, values = where
    # A message of a large conversation stands for itself.
    singles = [-number for number in conversations if number < 0]
    whole = {number for number in conversations if number >= 0}
    numbers = (json.dumps([*whole]), json.dumps(singles))
    theirs = f"(m.thread IN {_NUMBERS} OR m.id IN {_NUMBERS})"
    # Otherwise a search would scan all of its words once more.
    ends = index.connection.execute(f"SELECT min(m.id), max(m.id) FROM messages m WHERE {theirs}", numbers)  # noqa: S608
    within = f"{_number(tables)} BETWEEN ? AND ?"
    found = index.connection.execute(
        f"""SELECT {SUMMARY}, m.ancestors {tables} WHERE {" AND ".join((*conditions, within))}
        AND {theirs} ORDER BY m.id""",
        (*values, *ends.fetchone(), *numbers),
    )
    nodes: dict[int, list[Node]] = {}
    for row in found:
        one = summary(row)
        number = one.thread if one.thread in whole else -one.order
        nodes.setdefault(number, []).append(Node(one, row[-1].split()))
    return [Listed(node.summary, depth) for number in conversations for node, depth in tree(nodes.get(number, []))]
