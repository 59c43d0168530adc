"""What a desk does over the network: fetch, send, try an account; one object for the whole program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from emailsys.client.accounts.secrets import Prompt, Secrets
from emailsys.client.accounts.values import Account
from emailsys.client.desk import Desk
from emailsys.client.fetch_values import EVERYTHING_NEW, Fetched, Progress, Waiting, Wanted
from emailsys.client.threads import threads_of

if TYPE_CHECKING:
    from emailsys.client.fetch import Fetcher
    from emailsys.client.send import Sender, SendProgress, Sent


class Post:
    """Fetches and sends for a desk. Its methods are coroutines for `Deferred.fromCoroutine` on a running reactor."""

    def __init__(
        self,
        desk: Desk,
        reactor: Any,
        prompt: Prompt | None = None,
        fetching: Callable[[Progress], None] = lambda progress: None,
        sending: Callable[[SendProgress], None] = lambda progress: None,
    ) -> None:
        """
        @param prompt: asks the person for a password.
        @param fetching: is told how far a fetch is.
        @param sending: is told how much of a message is on its way.
        """
        self.desk = desk
        self.reactor = reactor
        self.secrets = Secrets(threads_of(reactor), prompt)
        self._fetching = fetching
        self._sending = sending
        self._sender: Sender | None = None

    def fetcher(self) -> Fetcher:
        """What fetches."""
        from emailsys.client.fetch import Fetcher

        desk = self.desk
        return Fetcher(self.reactor, desk.archive, self.secrets, desk.folders.state, desk.now, self._fetching)

    def sender(self) -> Sender:
        """What sends."""
        from emailsys.client.send import Sender

        if self._sender is None:
            desk = self.desk
            self._sender = Sender(self.reactor, desk.archive, desk.outbox, self.secrets, desk.now, self._sending)
        return self._sender

    async def fetch(self, accounts: Sequence[Account], wanted: Wanted = EVERYTHING_NEW) -> Sequence[Fetched]:
        """Fetch accounts side by side."""
        return await self.fetcher().fetch_all(accounts, wanted)

    async def preview(self, account: Account, lines: int = 0, limit: int = 100) -> Sequence[Waiting]:
        """What is on the server. @raise FetchError: it cannot be told."""
        return await self.fetcher().preview(account, lines, limit)

    async def send(self, account: Account, key: str) -> Sent:
        """Send a message of the outbox when its hold is over."""
        return await self.sender().send(account, key)

    async def flush(self, accounts: Sequence[Account]) -> Sequence[Sent]:
        """Send all that is due."""
        return await self.sender().flush(accounts)

    async def close(self) -> None:
        """Say goodbye to servers."""
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.close()
