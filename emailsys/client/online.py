"""What a desk does over the network: fetch, send, try an account; one object for the whole program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from emailsys.client.accounts.secrets import Prompt, Secrets
from emailsys.client.accounts.values import Account, Server
from emailsys.client.base.threads import threads_of, until_cancelled
from emailsys.client.fetch.values import FetchResult, Progress
from emailsys.client.mailbox import UserMailbox

if TYPE_CHECKING:
    from emailsys.client.send.sender import Sender, SendProgress, Sent


class _ThreadSecrets:
    """Secrets for a thread beside the reactor, in whose thread the person is asked."""

    def __init__(self, reactor: Any, secrets: Secrets) -> None:
        self._reactor = reactor
        self._secrets = secrets
        self._asking: list[Deferred[str]] = []

    def get(self, account: Account, server: Server) -> str:
        """The password or token. @raise AccountError: there is none; the message says what to do."""
        begin: Any = self._begin
        found: str = blockingCallFromThread(self._reactor, begin, account, server)
        return found

    def _begin(self, account: Account, server: Server) -> Deferred[str]:
        asked = Deferred.fromCoroutine(self._secrets.get(account, server))
        self._asking.append(asked)
        return asked

    def give_up(self) -> None:
        """Ask nobody any more. In the reactor's thread."""
        for asked in self._asking:
            asked.cancel()

    def refused(self, server: Server) -> None:
        """The server did not take it: ask anew next time."""
        self._reactor.callFromThread(self._secrets.refused, server)


class MailTransfer:
    """Fetches and sends for a desk. Its methods are coroutines for `Deferred.fromCoroutine` on a running reactor."""

    def __init__(
        self,
        mailbox: UserMailbox,
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
        self.mailbox = mailbox
        self.reactor = reactor
        self.secrets = Secrets(threads_of(reactor), prompt)
        self._fetching = fetching
        self._sending = sending
        self._sender: Sender | None = None

    def sender(self) -> Sender:
        """What sends."""
        from emailsys.client.send.sender import Sender

        if self._sender is None:
            mailbox = self.mailbox
            self._sender = Sender(
                self.reactor, mailbox.archive, mailbox.outbox, self.secrets, mailbox.now, self._sending
            )
        return self._sender

    async def fetch(self, accounts: Sequence[Account]) -> Sequence[FetchResult]:
        """Fetch what is new of some accounts side by side."""
        from emailsys.client.fetch.fetcher import Fetcher

        mailbox = self.mailbox

        def tell(progress: Progress) -> None:
            self.reactor.callFromThread(self._fetching, progress)

        secrets = _ThreadSecrets(self.reactor, self.secrets)
        fetcher = Fetcher(mailbox.archive, secrets, mailbox.folders.state, mailbox.now, tell)

        def stop() -> None:
            fetcher.stop()
            secrets.give_up()

        return await until_cancelled(threads_of(self.reactor), lambda: fetcher.fetch_all(accounts), stop)

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
