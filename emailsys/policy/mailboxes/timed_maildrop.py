"""A plugin's own `IMaildrop` as the maildrop of a POP3 session: what it waits for has a deadline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from emailsys.interfaces import IMaildrop
from emailsys.policy.mailboxes.calls import Caller
from emailsys.policy.mailboxes.lock import MailboxLock

_Proxy: Any = proxyForInterface(IMaildrop)


@implementer(IMaildrop)
class TimedMaildrop(_Proxy):  # type: ignore[misc]  # Twisted makes the class
    """The maildrop. All of it but `pieces`, `sync` and its end is the plugin's."""

    def __init__(self, maildrop: Any, caller: Caller, lock: MailboxLock, close: Callable[[], object]) -> None:
        """
        @param close: logs out of the plugin.
        """
        super().__init__(IMaildrop(maildrop))
        self._caller = caller
        self._lock = lock
        self._close = close
        self._released = False

    async def pieces(self, index: int) -> AsyncIterator[tuple[bytes, bool]]:
        """Return the message in pieces, as the plugin does."""
        await self._lock.sync()
        # A number that names no message is no fault of the plugin.
        self.original.listMessages(index)
        pieces = self.original.pieces(index)

        async def following() -> tuple[bytes, bool] | None:
            return await anext(pieces, None)

        while (piece := await self._caller.call(following)) is not None:
            yield piece
            self.touch()

    def sync(self) -> Deferred[None]:
        """Delete the marked messages, as the plugin does."""
        return Deferred.fromCoroutine(self._sync())

    async def _sync(self) -> None:
        await self._lock.sync()
        await self._caller.call(self.original.sync)

    def touch(self) -> None:
        """Note activity of the client."""
        self._lock.touch()
        self.original.touch()

    def release(self) -> None:
        """Release both locks, and log out of the plugin. A second call does nothing."""
        if not self._released:
            self._released = True
            try:
                self.original.release()
            finally:
                self._lock.release()
                self._close()
