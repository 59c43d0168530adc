"""TRANSACTION state of a recorded session: tells which messages the client reads and deletes."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from typing_extensions import override

from emailsys.interfaces.wiretap import ITap
from emailsys.net.pop3.authorization_state import AuthorizationState
from emailsys.net.pop3.transaction import Transaction


class TappedTransaction(Transaction):
    """A transaction that names messages by their unique-ids, which last longer than their numbers."""

    def __init__(self, tap: ITap, authorization: AuthorizationState) -> None:
        super().__init__(authorization)
        self._tap = tap

    def _tell(self, number: int, what: str) -> None:
        uid = self._maildrop.getUidl(number - 1).decode("ascii")
        self._tap.handled(f"message {number} {what}", uid=uid)

    @override
    def retrieve(self, number: int) -> Coroutine[Any, Any, None] | None:
        before = self.retrieved
        step = super().retrieve(number)
        if self.retrieved == before:
            return step
        if step is None:
            self._tell(number, "sent")
            return None
        return self._told_at_its_end(step, number)

    async def _told_at_its_end(self, step: Coroutine[Any, Any, None], number: int) -> None:
        await step
        self._tell(number, "sent")

    @override
    def delete(self, number: int) -> None:
        before = self._deleted
        super().delete(number)
        if self._deleted > before:
            self._tell(number, "marked as deleted")
