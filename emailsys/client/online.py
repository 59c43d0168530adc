"""Transfer of mail over the network: fetching and sending for a user's mailbox."""

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
    from emailsys.client.send.sender import Sender, SendProgress, SendResult
    from emailsys.interfaces.wiretap import IWiretap


class _ThreadSecrets:
    """Secrets for worker threads. The prompt runs in the reactor thread."""

    def __init__(self, reactor: Any, secrets: Secrets, may_ask: bool) -> None:
        self._reactor = reactor
        self._secrets = secrets
        self._may_ask = may_ask
        self._asking: list[Deferred[str]] = []

    def get(self, account: Account, server: Server) -> str:
        """Return the password or token. @raise AccountError: it is not available; the message says what to do."""
        begin: Any = self._begin
        found: str = blockingCallFromThread(self._reactor, begin, account, server)
        return found

    def _begin(self, account: Account, server: Server) -> Deferred[str]:
        asked = Deferred.fromCoroutine(self._secrets.get(account, server, self._may_ask))
        self._asking.append(asked)
        return asked

    def cancel(self) -> None:
        """Cancel all prompts. Call in the reactor thread."""
        for asked in self._asking:
            asked.cancel()

    def refused(self, server: Server) -> None:
        """Discard the secret that a server refused, so that the next login asks for it again."""
        self._reactor.callFromThread(self._secrets.refused, server)


class MailTransfer:
    """Fetches and sends mail for a mailbox.

    The coroutines are for `Deferred.fromCoroutine` on a running reactor.
    """

    def __init__(
        self,
        mailbox: UserMailbox,
        reactor: Any,
        prompt: Prompt | None = None,
        fetching: Callable[[Progress], None] = lambda progress: None,
        sending: Callable[[SendProgress], None] = lambda progress: None,
        wiretap: IWiretap | None = None,
    ) -> None:
        """
        @param prompt: asks the user for a password.
        @param fetching: callback with the progress of a fetch.
        @param sending: callback with the progress of a message that is being sent.
        @param wiretap: records the connections for sending; None records none.
        """
        self.mailbox = mailbox
        self.reactor = reactor
        self.secrets = Secrets(threads_of(reactor), prompt)
        self._fetching = fetching
        self._sending = sending
        self._wiretap = wiretap
        self._sender: Sender | None = None

    def sender(self) -> Sender:
        """Return the sender; create it on first use."""
        from emailsys.client.send.sender import Sender

        if self._sender is None:
            mailbox = self.mailbox
            self._sender = Sender(
                self.reactor,
                mailbox.archive,
                mailbox.outbox,
                self.secrets,
                mailbox.now,
                self._sending,
                wiretap=self._wiretap,
            )
        return self._sender

    async def fetch(self, accounts: Sequence[Account], may_ask: bool = True) -> Sequence[FetchResult]:
        """Fetch new mail from several accounts at the same time.

        @param may_ask: whether the user may be asked for a password.
        """
        from emailsys.client.fetch.fetcher import Fetcher

        mailbox = self.mailbox

        def tell(progress: Progress) -> None:
            self.reactor.callFromThread(self._fetching, progress)

        secrets = _ThreadSecrets(self.reactor, self.secrets, may_ask)
        fetcher = Fetcher(mailbox.archive, secrets, mailbox.paths.state, mailbox.now, tell)

        def stop() -> None:
            fetcher.stop()
            secrets.cancel()

        return await until_cancelled(threads_of(self.reactor), lambda: fetcher.fetch_all(accounts), stop)

    async def send(self, account: Account, key: str) -> SendResult:
        """Send a message from the outbox when its hold time is over."""
        return await self.sender().send(account, key)

    async def flush(self, accounts: Sequence[Account]) -> Sequence[SendResult]:
        """Send all messages in the outbox that are due."""
        return await self.sender().flush(accounts)

    async def close(self) -> None:
        """Close the connections to servers with QUIT."""
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.close()
