"""Network access of the full screen: Twisted's coroutines on Textual's asyncio event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from emailsys.client.accounts.values import Account
from emailsys.client.fetch.values import FetchResult, Progress
from emailsys.client.mailbox import UserMailbox
from emailsys.client.online import MailTransfer
from emailsys.client.send.sender import SendProgress, SendResult

T = TypeVar("T")


class MailNetwork(Protocol):
    """Network operations of the screen, as asyncio coroutines. Cancelling one closes its connection."""

    async def fetch(
        self, accounts: Sequence[Account], report: Callable[[Progress], None], may_ask: bool = True
    ) -> Sequence[FetchResult]:
        """Fetch from several accounts at the same time.

        @param report: callback with the progress.
        @param may_ask: whether the user may be asked for a password.
        """
        ...

    async def send(self, account: Account, key: str, report: Callable[[SendProgress], None]) -> SendResult:
        """Send a message from the outbox when its hold time is over. @param report: callback with the progress."""
        ...

    async def flush(self, accounts: Sequence[Account]) -> Sequence[SendResult]:
        """Send all messages in the outbox that are due."""
        ...

    async def post_form(self, url: str, form: bytes) -> int | str:
        """Post a form by HTTPS. @return: the status of the answer, or why there is none."""
        ...

    async def close(self) -> None:
        """Close the connections to servers."""
        ...


class TwistedNetwork:
    """Network operations over Twisted. The reactor must be an asyncioreactor on the running event loop."""

    def __init__(self, mailbox: UserMailbox, reactor: Any, ask: Callable[[str], Awaitable[str]]) -> None:
        """@param ask: an asyncio coroutine that asks the user for a password."""
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

    async def fetch(
        self, accounts: Sequence[Account], report: Callable[[Progress], None], may_ask: bool = True
    ) -> Sequence[FetchResult]:
        """Fetch from several accounts at the same time. See `MailNetwork.fetch`."""
        self._fetching = report
        return await self._await(self._transfer.fetch(accounts, may_ask))

    async def send(self, account: Account, key: str, report: Callable[[SendProgress], None]) -> SendResult:
        """Send a message from the outbox when its hold time is over. @param report: callback with the progress."""
        self._sending = report
        return await self._await(self._transfer.send(account, key))

    async def flush(self, accounts: Sequence[Account]) -> Sequence[SendResult]:
        """Send all messages in the outbox that are due."""
        return await self._await(self._transfer.flush(accounts))

    async def post_form(self, url: str, form: bytes) -> int | str:
        """Post a form by HTTPS. See `MailNetwork.post_form`."""
        from emailsys.client.base.https import post_form

        return await self._await(post_form(self._transfer.reactor, url, form))

    async def close(self) -> None:
        """Close the connections to servers."""
        await self._await(self._transfer.close())
