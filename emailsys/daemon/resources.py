"""Lock and sockets of a daemon, opened before privileges are dropped."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from emailsys.daemon.checks import DaemonChecks
from emailsys.daemon.logins import DaemonLogins
from emailsys.daemon.mailboxes import DaemonMailboxes
from emailsys.policy.mailboxes.opening import Mailboxes
from emailsys.policy.outside_logins import OutsideLogins
from emailsys.store.open import Store
from emailsys.supervisor import Bound, FolderLock, Predecessor, close_all
from emailsys.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class OpenedResources:
    """Lock and sockets that were opened before privileges were dropped, and plugins that were loaded after it."""

    lock: FolderLock
    listeners: tuple[Bound, ...]
    # None where the system has no Unix sockets.
    control: socket.socket | None
    # The daemon that this one succeeds, if any.
    predecessor: Predecessor | None = None
    # Plugins are loaded at the start, where their faults reach the terminal.
    checks: DaemonChecks = field(default_factory=DaemonChecks)
    logins: DaemonLogins = field(default_factory=DaemonLogins)
    mailboxes: DaemonMailboxes = field(default_factory=DaemonMailboxes)

    def serve_plugins(self, store: Store, telemetry: Telemetry) -> tuple[OutsideLogins | None, Mailboxes | None]:
        """Ask the plugins for logins and mailboxes from now on. Each is None if there are none."""
        return self.logins.serve(store, telemetry), self.mailboxes.serve(store.maildrops, telemetry)

    async def stop_plugins(self) -> None:
        """Stop the plugins. They are asked nothing more."""
        self.logins.stop()
        await self.mailboxes.stop()
        await self.checks.stop()

    def release(self) -> None:
        """Close the sockets and release the lock. A second call does nothing."""
        close_all(self.listeners)
        if self.control is not None:
            self.control.close()
        self.lock.release()
