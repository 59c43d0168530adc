"""Next hops with a habit: one that greylists, and ones that drop the connection at the final dot."""

from __future__ import annotations

import threading

from typing_extensions import override

from emailsys.lab.hosts.mail_host import HangUp, MailHost, Stored


class Greylisting(MailHost):
    """Refuses the first attempt of each sender and recipient for now, and takes the next one (RFC 6647)."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()
        super().__init__()

    @override
    def answer_recipient(self, sender: str, recipient: str) -> bytes:
        """Returns 451 for a pair that is not known yet."""
        if (sender, recipient) in self._known:
            return super().answer_recipient(sender, recipient)
        self._known.add((sender, recipient))
        return b"451 4.7.1 Greylisted, try again later"


class LosesReply(MailHost):
    """Drops the first connection at the final dot, before or after it has stored the message."""

    def __init__(self, stores_first: bool) -> None:
        self._stores_first = stores_first
        self._lock = threading.Lock()
        self._has_dropped = False
        super().__init__()

    @override
    def store(self, message: Stored) -> bytes:
        """Drops the connection once."""
        with self._lock:
            drops, self._has_dropped = not self._has_dropped, True
        if not drops:
            return super().store(message)
        if self._stores_first:
            self.keep(message)
        raise HangUp
