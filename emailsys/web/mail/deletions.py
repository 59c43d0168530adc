"""Deletions that can be undone: messages are hidden at once, and deleted when the time to undo has passed."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from emailsys.interfaces import IMaildropReading, MaildropInUse, MaildropLost, StoreError
from emailsys.web.base.face import Face
from emailsys.web.base.refusal import Refusal

#: Seconds in which a deletion can be undone.
UNDO_SECONDS: Final = 30.0
# Deletions of one account that can be undone at the same time. One more makes the oldest one final.
_MAX_PENDING: Final = 100
# Seconds until the next attempt while a POP3 session has the maildrop open, and after which the messages come back.
_RETRY_SECONDS: Final = 5.0
_GIVE_UP_SECONDS: Final = 1800.0


@dataclass(slots=True, eq=False)
class Deletion:
    """Messages of an account that were deleted together.

    @ivar is_waiting: whether the time to undo has passed, and a POP3 session has the maildrop open.
    """

    deletion_id: str
    account_id: int
    uids: frozenset[str]
    began: float
    is_waiting: bool = False
    call: IDelayedCall | None = field(default=None, repr=False)


class Deletions:
    """The deletions of all accounts that are not on disk yet. If the daemon is killed, their messages stay."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._reading: IMaildropReading = face.store.reading
        self._pending: dict[str, Deletion] = {}
        face.closing.append(self.finish)

    def add(self, account_id: int, uids: Collection[str]) -> Deletion:
        """Hide messages, and delete them later.

        @raise Refusal: too many deletions wait for the end of a POP3 session.
        """
        if len(self.of(account_id)) >= 2 * _MAX_PENDING:
            raise Refusal(
                429, "Too many deletions wait", "A mail program has this maildrop open by POP3. End it first."
            )
        pending = [other for other in self.of(account_id) if other.call is not None and not other.is_waiting]
        if len(pending) >= _MAX_PENDING and pending[-1].call is not None:
            pending[-1].call.cancel()
            self._begin(pending[-1])
        one = Deletion(secrets.token_urlsafe(12), account_id, frozenset(uids), self._face.reactor.seconds())
        self._pending[one.deletion_id] = one
        self._try_in(one, UNDO_SECONDS)
        return one

    def of(self, account_id: int) -> list[Deletion]:
        """Return the deletions of an account, the latest first."""
        return [one for one in reversed(self._pending.values()) if one.account_id == account_id]

    def hidden(self, account_id: int) -> frozenset[str]:
        """Return the messages of an account that lists leave out."""
        return frozenset(uid for one in self._pending.values() if one.account_id == account_id for uid in one.uids)

    def undo(self, account_id: int, deletion_id: str) -> bool:
        """Show the messages again. Returns False if they are deleted already."""
        one = self._pending.get(deletion_id)
        if one is None or one.account_id != account_id or one.call is None:
            return False
        one.call.cancel()
        del self._pending[deletion_id]
        return True

    def _try_in(self, one: Deletion, seconds: float) -> None:
        one.call = self._face.reactor.callLater(seconds, self._begin, one)

    def _begin(self, one: Deletion) -> None:
        one.call = None
        _ = Deferred.fromCoroutine(self._delete(one)).addErrback(
            lambda failure: self._face.telemetry.exception("web-exception", failure)
        )

    async def _delete(self, one: Deletion) -> None:
        try:
            await self._reading.delete(one.account_id, one.uids)
        except (MaildropInUse, MaildropLost, StoreError) as error:
            if self._face.reactor.seconds() - one.began < _GIVE_UP_SECONDS:
                one.is_waiting = True
                self._try_in(one, _RETRY_SECONDS)
                return
            self._face.telemetry.event("web-delete-failed", why=str(error) or type(error).__name__)
        self._pending.pop(one.deletion_id, None)

    async def finish(self) -> None:
        """Delete now what can be deleted: the daemon ends."""
        pending, self._pending = self._pending, {}
        for one in pending.values():
            if one.call is not None:
                one.call.cancel()
            try:
                await self._reading.delete(one.account_id, one.uids)
            except (MaildropInUse, MaildropLost, StoreError) as error:
                self._face.telemetry.event("web-delete-failed", why=str(error) or type(error).__name__)
