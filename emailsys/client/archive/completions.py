"""Keys and tags for shell completion, from an index file that other processes may have open. Nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

# Seconds to wait for another process: a completion that is late is of no use.
_BUSY = 0.1


@contextmanager
def _opened(index: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{index.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY)) as connection:
        yield connection


def keys_in_file(index: Path, typed: str, limit: int) -> Sequence[tuple[str, str, str]]:
    """Return key, sender and subject of the newest messages whose key begins with the typed text.

    @raise sqlite3.Error: there is no index of this version.
    """
    with _opened(index) as connection:
        return connection.execute(
            "SELECT key, sender, subject FROM messages WHERE key >= ? AND key < ? ORDER BY id DESC LIMIT ?",
            (typed, f"{typed}~", limit),
        ).fetchall()


def tags_in_file(index: Path) -> Sequence[str]:
    """Return the tags in use, sorted. @raise sqlite3.Error: there is no index of this version."""
    with _opened(index) as connection:
        return [tag for (tag,) in connection.execute("SELECT DISTINCT tag FROM tags ORDER BY tag")]
