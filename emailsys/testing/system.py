"""A mail system for a test: real SMTP and POP3 on free ports, in a background thread, used with blocking calls."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from emailsys.testing.controls import Controls
from emailsys.testing.mailbox import DEFAULT_TIMEOUT, Mailbox, Wanted
from emailsys.testing.reactor_thread import shared_reactor_thread

if TYPE_CHECKING:
    from emailsys.testing.message import Message


class MailSystem(Controls):
    """A mail system that accepts all mail and keeps it until `close`. Use it as a context manager.

    Every address exists, no login is needed, and any user name and password are accepted. Mail never leaves it.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, pop3_port: int = 0, *, tls: bool = False) -> None:
        """Start it.

        @param port: 0 for a free port, which no other program can have.
        @param tls: whether to offer STARTTLS and STLS. Clients must trust the authority in the file `ca`.
        @raise OSError: a port that was named is not free.
        """
        self._process = os.getpid()
        self._thread = shared_reactor_thread()
        from emailsys.testing.server import CatchServer, listen

        self.host = host
        listeners = {"smtp": listen(host, port)}
        try:
            listeners["pop3"] = listen(host, pop3_port)
            self._server = CatchServer(self._thread.reactor, tls_names=(host,) if tls else None)
            self._thread.call(lambda: self._server.start(listeners))
            self.port = listeners["smtp"].getsockname()[1]
            self.pop3_port = listeners["pop3"].getsockname()[1]
        finally:
            for listener in listeners.values():
                listener.close()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def mailbox(self, name: str) -> Mailbox:
        """Return the mailbox of an address, or of a name in any domain: `mailbox("bob")`."""
        return Mailbox(self._server.inbox, name)

    def wait_for(
        self,
        *,
        subject: str | re.Pattern[str] | None = None,
        sender: str | re.Pattern[str] | None = None,
        where: Callable[[Message], object] | None = None,
        after: Message | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Message:
        """As `Mailbox.wait_for`, for mail to anybody."""
        return self._server.inbox.wait_for(Wanted(None, subject, sender, where), timeout, after)

    def reset(self) -> None:
        """Forget messages and failures, and end all sessions. The maildrops of POP3 keep their mail."""
        self._thread.call(self._server.end_sessions)
        self._server.script.clear()
        self._server.inbox.clear()

    def close(self) -> None:
        """Stop it and remove what it kept. A second call does nothing, nor does one in a forked child."""
        if not self._is_closed and self._process == os.getpid():
            self._is_closed = True
            self._thread.call(self._server.stop)
