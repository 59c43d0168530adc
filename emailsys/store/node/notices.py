"""Notices between the processes of all nodes: short texts that PostgreSQL passes on, and does not keep."""

from __future__ import annotations

from collections.abc import Callable

from emailsys.store.node.lock_connection import LockConnection


class Notices:
    """Sends notices, and passes those of other processes on by their first word.

    A process hears a notice within about a second. A process that is disconnected at that moment misses it.
    """

    def __init__(self, connection: LockConnection | None = None) -> None:
        """@param connection: None if no process of another node uses the store."""
        self._connection = connection
        self._hearers: dict[str, Callable[[str], None]] = {}
        if connection is not None:
            connection.heard = self._heard

    @property
    def reach_nodes(self) -> bool:
        """Whether there may be other nodes."""
        return self._connection is not None

    def hear(self, word: str, hearer: Callable[[str], None]) -> None:
        """Call the hearer with the rest of each notice that begins with a word."""
        self._hearers[word] = hearer

    async def send(self, word: str, rest: str) -> None:
        """Send a notice to all other processes. Does nothing after the store was closed.

        @raise StoreError: the database cannot be reached.
        """
        if self._connection is not None and not self._connection.is_closed:
            await self._connection.notify(f"{word} {rest}")

    def _heard(self, notice: str) -> None:
        word, _, rest = notice.partition(" ")
        hearer = self._hearers.get(word)
        if hearer is not None and self._connection is not None and not self._connection.is_closed:
            hearer(rest)
