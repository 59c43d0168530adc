"""Read access to the local store: folders, messages, lists and searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive.files import new_key
from emailsys.client.archive.index import Index, translated_index_errors
from emailsys.client.archive.listing import Arrangement, Listed, Page, Place, Scope, count, read_page
from emailsys.client.archive.people import find
from emailsys.client.archive.query import Query, parse_query
from emailsys.client.archive.reconcile import folder_path
from emailsys.client.archive.values import STANDARD_FOLDERS, Folder, FolderCount, NoSuchMessage, Summary
from emailsys.mail.message.mailboxes import Mailbox

#: Larger than every `order`.
MOST: Final = 1 << 62


class ArchiveReader:
    """The methods of Archive that change nothing. They take no lock."""

    def __init__(self, root: Path, index: Index, now: Callable[[], datetime]) -> None:
        self._root = root
        self._index = index
        self._now = now

    @property
    def root(self) -> Path:
        """The folder of the store."""
        return self._root

    # Folders

    def accounts(self) -> Sequence[str]:
        """Return the accounts that have folders, sorted."""
        return sorted({count.folder.account for count in self.folders()})

    def folders(self, account: str | None = None) -> Sequence[FolderCount]:
        """Return the folders of one account or of all, with message counts, standard folders first."""
        with translated_index_errors():
            rows = self._index.connection.execute(
                """SELECT account, name, (SELECT count(*) FROM messages m WHERE m.folder = f.folder),
                (SELECT count(*) FROM messages m INDEXED BY messages_unread
                    WHERE m.folder = f.folder AND m.flags & 1 = 0)
                FROM folders f WHERE account = coalesce(?, account)""",
                (account,),
            ).fetchall()
        standard = {name: number for number, name in enumerate(STANDARD_FOLDERS)}
        rows.sort(key=lambda row: (row[0], standard.get(row[1], len(standard)), row[1]))
        return [FolderCount(Folder(row[0], row[1]), row[2], row[3]) for row in rows]

    def has_folder(self, folder: Folder) -> bool:
        """Whether an account has a folder, in the index and on disk."""
        with translated_index_errors():
            row = self._index.connection.execute(
                "SELECT 1 FROM folders WHERE account = ? AND name = ?", (folder.account, folder.name)
            ).fetchone()
        return row is not None and folder_path(self._root, folder).is_dir()

    # Messages

    def get(self, key: str) -> Summary:
        """Return the message whose key has that prefix. @raise NoSuchMessage: no message has it, or several have."""
        with translated_index_errors():
            found = self._index.summaries("m.key >= ? AND m.key < ?", (key, f"{key}~"), 2) if key else []
        if len(found) != 1:
            raise NoSuchMessage(f"{'more than one' if found else 'no'} message {key!r}")
        return found[0]

    def each(self, keys: Iterable[str]) -> Sequence[Summary]:
        """Return the messages of the keys, without duplicates."""
        found = {one.key: one for one in map(self.get, keys)}
        return [*found.values()]

    def unmoved(self, seen: Iterable[Summary]) -> Sequence[Summary]:
        """Return those messages that still exist in the folder where the caller saw them, as they are now.

        @param seen: the messages as the caller saw them.
        """
        found = []
        for one in seen:
            with suppress(NoSuchMessage):
                if (now := self.get(one.key)).folder == one.folder:
                    found.append(now)
        return found

    def path(self, key: str) -> Path:
        """Return the path of a message's file. @raise NoSuchMessage: there is no such message."""
        with translated_index_errors():
            location = self._index.location(self.get(key).key)
        if location is None:
            raise NoSuchMessage(f"no message {key!r}")
        return folder_path(self._root, location[0]) / location[1]

    def list(self, folder: Folder, limit: int = 100, below: int | None = None) -> Sequence[Summary]:
        """List the messages of a folder, newest first.

        @param below: list only messages with a smaller `order`: the next page.
        """
        with translated_index_errors():
            return self._index.summaries(
                "m.folder = (SELECT folder FROM folders WHERE account = ? AND name = ?) AND m.id < ?",
                (folder.account, folder.name, MOST if below is None else below),
                limit,
            )

    def search(
        self,
        query: str,
        account: str | None = None,
        limit: int = 100,
        below: int | None = None,
        within: str = "",
    ) -> Sequence[Summary]:
        """Search messages, newest first. Trash is searched only if the query asks for it.

        @param within: another query, which the messages must match, too.
        @param below: find only messages with a smaller `order`: the next page.
        @raise BadQuery: the query is invalid; the message says why.
        """
        with translated_index_errors():
            scope = Scope(query=parse_query(self._now(), within, query), account=account)
            beyond = (below, below) if below is not None else None
            return [one.summary for one in read_page(self._index, scope, Arrangement(), limit, beyond).rows]

    def page(
        self, scope: Scope, arrangement: Arrangement, limit: int, beyond: Place | None = None, from_end: bool = False
    ) -> Page:
        """Read a page of a list, in any order. The parameters are those of `read_page`."""
        with translated_index_errors():
            return read_page(self._index, scope, arrangement, limit, beyond, from_end)

    def count(self, scope: Scope) -> int:
        """Return the number of messages of a list."""
        with translated_index_errors():
            return count(self._index, scope)

    def first(self, scope: Scope, arrangement: Arrangement, limit: int) -> Sequence[Listed]:
        """Return the first messages of a list, in any order."""
        page = self.page(scope, arrangement, limit)
        rows = [*page.rows]
        while len(rows) < limit and not page.is_end:
            page = self.page(scope, arrangement, limit, page.last)
            rows += page.rows
        return rows[:limit]

    def query(self, *texts: str) -> Query:
        """Parse queries that must all match. @raise BadQuery: a query is invalid; the message says why."""
        return parse_query(self._now(), *texts)

    def thread(self, key: str) -> Sequence[Summary]:
        """Return the conversation of a message, oldest first, at most 1,000 messages."""
        with translated_index_errors():
            return self._index.summaries("m.thread = ?", (self.get(key).thread,), 1_000, oldest_first=True)

    def people(self, typed: str, limit: int = 8) -> Sequence[Mailbox]:
        """Complete a name or an address: people you wrote to come first, then people who wrote to you."""
        with translated_index_errors():
            return find(self._index.connection, typed, limit)

    def known(self, sources: Iterable[str]) -> dict[str, str]:
        """Return the sources whose messages are stored, with their keys."""
        keys = {source: new_key(source) for source in sources}
        with translated_index_errors():
            here = self._index.existing_keys([*keys.values()])
        return {source: key for source, key in keys.items() if key in here}

    def tags(self) -> dict[str, int]:
        """Return all tags in use, with the number of their messages."""
        with translated_index_errors():
            return dict(
                self._index.connection.execute("SELECT tag, count(*) FROM tags JOIN messages USING (key) GROUP BY tag")
            )

    def note(self, key: str) -> Mapping[str, Any] | None:
        """The note that goes with a message."""
        with translated_index_errors():
            found = self._index.marks([self.get(key).key])
        return next((marks.note for marks in found.values()), None)
