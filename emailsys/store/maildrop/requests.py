"""Requests between nodes on PostgreSQL: a login asks for the maildrop that a session on another node has open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.interfaces import StoreError
from emailsys.store.commit.database import Reactor
from emailsys.store.node.lock_connection import LockConnection
from emailsys.store.node.notices import Notices
from emailsys.telemetry import Telemetry

# Seconds between two looks for an answer, and how many looks are made. Each process looks for requests once a second.
_LOOK_EVERY: Final = 0.5
_LOOKS: Final = 6
# Shortest time without a sign of life after which a node hangs, in seconds. A busy node may be late by less.
_HANGS_AFTER: Final = 30.0

# The words of a request and of its two answers. The id of the account follows.
_TAKE: Final = "take"
_KEPT: Final = "kept"
_FREE: Final = "free"


class MaildropRequests:
    """Sends requests and answers as notices of PostgreSQL, which all processes of all nodes hear.

    A notice is one of the words `take`, `kept` and `free`, and the id of an account. The process whose session has the
    maildrop open answers. If none does, the session may belong to a process that hangs.
    """

    def __init__(self, connection: LockConnection, notices: Notices, reactor: Reactor, telemetry: Telemetry) -> None:
        self._connection = connection
        self._notices = notices
        self._reactor = reactor
        self._telemetry = telemetry
        # Logins of this process that wait, by account, and whether the maildrop is free. None: no answer yet.
        self._waiting: dict[int, bool | None] = {}
        #: Gives up a maildrop if its session may be taken over. Returns whether it did, or None without such a session.
        self.answer: Callable[[int], Awaitable[bool | None]] | None = None
        notices.hear(_TAKE, self._asked)
        notices.hear(_KEPT, partial(self._answered, False))
        notices.hear(_FREE, partial(self._answered, True))

    async def ask(self, account_id: int, takeover_after: float) -> bool:
        """Ask for a maildrop that another process has locked. Returns whether it is free now.

        @param takeover_after: seconds without a command after which a session may be taken over.
        """
        self._waiting[account_id] = None
        try:
            before = await self._connection.holder(account_id)
            await self._notices.send(_TAKE, str(account_id))
            for _ in range(_LOOKS):
                await self._pause()
                if self._connection.is_closed:
                    return False
                await self._connection.hear()
                is_free = self._waiting[account_id]
                if is_free is not None:
                    return is_free
        finally:
            del self._waiting[account_id]
        if self._connection.is_closed:
            return False
        holder = await self._connection.holder(account_id)
        if holder is None:
            return True
        if holder != before or holder.silent_for < max(takeover_after, _HANGS_AFTER):
            return False
        # In all this time, the process cannot have had a command from its client either.
        self._telemetry.event("maildrop-holder-ended", account_id=account_id, silent_for=round(holder.silent_for))
        await self._connection.terminate(holder.sign)
        return True

    def _pause(self) -> Deferred[None]:
        paused: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(_LOOK_EVERY, paused.callback, None)
        return paused

    def _asked(self, account: str) -> None:
        if account.isdecimal():
            _ = Deferred.fromCoroutine(self._give(int(account))).addErrback(self._failed)

    def _answered(self, is_free: bool, account: str) -> None:
        if account.isdecimal() and int(account) in self._waiting:
            self._waiting[int(account)] = is_free

    async def _give(self, account_id: int) -> None:
        given = None if self.answer is None else await self.answer(account_id)
        if given is not None:
            await self._notices.send(_FREE if given else _KEPT, str(account_id))

    def _failed(self, failure: Failure) -> None:
        # Without the database there is no answer, and the login that waits has lost it, too, or is refused.
        if not failure.check(StoreError):
            self._telemetry.exception("maildrop-request-exception", failure)
