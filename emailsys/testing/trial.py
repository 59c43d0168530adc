"""The trial mixin: a mail system on the reactor of the test run, with Deferreds in place of blocking calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from emailsys.testing.arrival import arrival
from emailsys.testing.controls import Controls
from emailsys.testing.mailbox import DEFAULT_TIMEOUT, Inbox, Mailbox, Wanted
from emailsys.testing.message import Message
from emailsys.testing.server import CatchServer, listen


class AwaitableMailbox(Mailbox):
    """A mailbox whose `wait_for` returns a Deferred."""

    def __init__(self, inbox: Inbox, name: str, reactor: Any) -> None:
        super().__init__(inbox, name)
        self._reactor = reactor

    def wait_for(  # type: ignore[override]  # a Deferred of what the blocking one returns
        self,
        *,
        subject: str | re.Pattern[str] | None = None,
        sender: str | re.Pattern[str] | None = None,
        where: Callable[[Message], object] | None = None,
        after: Message | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Deferred[Message]:
        """Return a Deferred of the first message that fits; see `Mailbox.wait_for`. It fails with NoSuchMail."""
        return arrival(self._inbox, self._reactor, Wanted(self.name, subject, sender, where), after, timeout)


class TrialMailSystem(Controls):
    """A mail system as `MailSystem` is, on a reactor that runs already."""

    def __init__(self, reactor: Any, host: str) -> None:
        """@param reactor: starts the server when `start` is called."""
        self._reactor = reactor
        self._server = CatchServer(reactor)
        self.host = host

    async def start(self) -> None:
        """Listen on free ports."""
        listeners = {name: listen(self.host, 0) for name in ("smtp", "pop3")}
        try:
            await self._server.start(listeners)
            self.port, self.pop3_port = (listeners[name].getsockname()[1] for name in ("smtp", "pop3"))
        finally:
            for listener in listeners.values():
                listener.close()

    def stop(self) -> Deferred[None]:
        """Stop it and remove what it kept."""
        return Deferred.fromCoroutine(self._server.stop())

    def mailbox(self, name: str) -> AwaitableMailbox:
        """Return the mailbox of an address, or of a name in any domain."""
        return AwaitableMailbox(self._server.inbox, name, self._reactor)

    def wait_for(
        self,
        *,
        subject: str | re.Pattern[str] | None = None,
        sender: str | re.Pattern[str] | None = None,
        where: Callable[[Message], object] | None = None,
        after: Message | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Deferred[Message]:
        """As `AwaitableMailbox.wait_for`, for mail to anybody."""
        return arrival(self._server.inbox, self._reactor, Wanted(None, subject, sender, where), after, timeout)


class MailSystemMixin:
    """For test cases of trial: `system = await self.start_mail_system()`. It stops by itself after the test."""

    def start_mail_system(self, host: str = "127.0.0.1") -> Deferred[TrialMailSystem]:
        """Start a mail system on the global reactor, which trial runs."""
        from twisted.internet import reactor

        case: Any = self
        system = TrialMailSystem(reactor, host)
        case.addCleanup(system.stop)
        return Deferred.fromCoroutine(system.start()).addCallback(lambda _: system)
