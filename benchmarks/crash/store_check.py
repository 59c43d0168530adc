"""A SQLite store after a power cut, read without any code of emailsys."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def number_of(queue_id: str) -> int:
    """The key of a message, from its queue id (Crockford's base 32)."""
    number = 0
    for character in queue_id:
        number = number << 5 | _ALPHABET.index(character)
    return number


class StoreCheck:
    """A store, opened as SQLite opens it after a crash.

    @raise sqlite3.Error: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._ask = self._connection.execute
        self.tables = {name for (name,) in self._ask("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def flaws(self) -> list[str]:
        """What is wrong with the file, its references and its bodies."""
        found = [str(line) for (line,) in self._ask("PRAGMA integrity_check") if line != "ok"]
        found += [f"foreign key: {row}" for row in self._ask("PRAGMA foreign_key_check")]
        if "bodies" in self.tables:
            for table in ("bodies", "body_pieces"):
                for body_id, content, digest in self._ask(f"SELECT body_id, content, digest FROM {table}"):
                    if digest is not None and hashlib.sha256(content).digest() != digest:
                        found.append(f"{table}: {body_id} has other octets than its digest")
        return found

    def maildrops(self) -> Counter[tuple[str, int]]:
        """The number of times each message lies in the maildrop of each account."""
        if "maildrop" not in self.tables:
            return Counter()
        rows = self._ask("SELECT a.local, d.message_id FROM maildrop d JOIN accounts a USING (account_id)")
        return Counter((account, message) for account, message in rows)

    def messages(self) -> set[int]:
        """The keys of all messages."""
        return {key for (key,) in self._ask("SELECT message_id FROM messages")} if "messages" in self.tables else set()

    def away(self) -> set[tuple[int, str]]:
        """Remote recipients that wait in the queue, or whose outcome is recorded."""
        if "queue" not in self.tables:
            return set()
        rows = self._ask("SELECT message_id, forward_local || '@' || forward_domain FROM queue")
        ended = self._ask("SELECT message_id, recipient FROM settled WHERE recipient IS NOT NULL")
        return {*rows, *ended}

    def body(self, message: int) -> bytes:
        """The octets of a message."""
        parts = [content for (content,) in self._ask("SELECT content FROM bodies WHERE body_id = ?", (message,))]
        pieces = self._ask("SELECT content FROM body_pieces WHERE body_id = ? ORDER BY number", (message,))
        return b"".join([*parts, *(content for (content,) in pieces)])


def opened(path: Path, look: Callable[[StoreCheck], list[str]]) -> list[str]:
    """What a check finds wrong with a store, or that the store cannot be read."""
    try:
        check = StoreCheck(path)
        try:
            return look(check)
        finally:
            check.close()
    except sqlite3.Error as error:
        return [f"the store cannot be read: {error}"]
