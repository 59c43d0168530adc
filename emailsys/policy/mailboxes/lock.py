"""Lock of a plugin's mailbox: the account's maildrop in the store, opened for as long as the session lasts."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred


class MailboxLock(Protocol):
    """An `IMaildrop` of which nothing is read or deleted. Other sessions can open neither it nor the mailbox."""

    def sync(self) -> Deferred[None]:
        """Return a Deferred that fails with MaildropLost if another session took over the maildrop."""

    def touch(self) -> None:
        """Note activity of the client."""

    def release(self) -> None:
        """Release the lock."""
