"""How the full screen reaches the servers: Twisted's coroutines on the event loop that Textual runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from emailsys.client.accounts.values import Account
from emailsys.client.fetch.values import FetchResult, Progress
from emailsys.client.mailbox import UserMailbox
from emailsys.client.online import MailTransfer
from emailsys.client.send.sender import SendProgress, Sent

T = TypeVar("T")


class MailNetwork(Protocol):
    """What the screen asks of the network. Coroutines of asyncio; a cancelled one hangs up."""

    async def fetch(self, accounts: Sequence[Account], tell: Callable[[Progress], None]) -> Sequence[FetchResult]:
        """Fetch accounts side by side, and tell how far it is."""
        ...

    async def send(self, account: Account, key: str, tell: Callable[[SendProgress], None]) -> Sent:
        """Send a message of the outbox when its hold is over."""
        ...

    async def flush(self, accounts: Sequence[Account]) -> Sequence[Sent]:
        """Send all that is due."""
        ...

    async def close(self) -> None:
        """Say goodbye to servers."""
        ...


class TwistedNetwork:
    """The real one. The reactor must be twisted.internet.asyncioreactor's, on the loop that runs."""

    def __init__(self, mailbox: UserMailbox, reactor: Any, ask: Callable[[str], Awaitable[str]]) -> None:
        """@param ask: a coroutine of asyncio that asks the person for a password."""
        self._fetching: Callable[[Progress], None] = lambda progress: None
        self._sending: Callable[[SendProgress], None] = lambda progress: None

        async def prompt(text: str) -> Any:
            return await Deferred.fromFuture(asyncio.ensure_future(ask(text)))

        self._transfer = MailTransfer(
            mailbox,
            reactor,
            prompt,
            lambda progress: self._fetching(progress),
            lambda progress: self._sending(progress),
        )

    async def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        deferred = Deferred.fromCoroutine(coroutine)
        return await deferred.asFuture(asyncio.get_running_loop())

    async def fetch(self, accounts: Sequence[Account], tell: Callable[[Progress], None]) -> Sequence[FetchResult]:
        """Fetch accounts side by side, and tell how far it is."""
        self._fetching = tell
        return await self._await(self._transfer.fetch(accounts))

    async def send(self, account: Account, key: str, tell: Callable[[SendProgress], None]) -> Sent:
        """Send a message of the outbox when its hold is over."""
        self._sending = tell
        return await self._await(self._transfer.send(account, key))

    async def flush(self, accounts: Sequence[Account]) -> Sequence[Sent]:
        """Send all that is due."""
        return await self._await(self._transfer.flush(accounts))

    async def close(self) -> None:
        """Say goodbye to servers."""
        await self._await(self._transfer.close())
