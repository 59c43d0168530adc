"""Acceptance of messages into memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.interfaces import IIncoming, IIntake, Notice, StoreError
from emailsys.mail.envelope import Envelope

#: Called with queue id, envelope and octets of a message that was accepted.
Accepted = Callable[[str, Envelope, bytes], object]


@implementer(IIntake)
class MemoryIntake:
    """Accepts messages of any size, and passes each on as a whole."""

    def __init__(self, accepted: Accepted) -> None:
        self._accepted = accepted
        self._numbers = itertools.count(1)

    def make_id(self) -> str:
        """Return a new queue id."""
        return f"memory{next(self._numbers)}"

    def begin(self) -> IIncoming:
        """Begin a message."""
        incoming: IIncoming = _Incoming(self, self._accepted)
        return incoming

    async def has_room(self, octets: int) -> bool:
        """There is always room."""
        return True


@implementer(IIncoming)
class _Incoming:
    def __init__(self, intake: MemoryIntake, accepted: Accepted) -> None:
        self._intake, self._accepted = intake, accepted
        self._written: list[bytes] = []
        self._has_ended = False
        self.queue_id = intake.make_id()
        self.octets = 0

    def write(self, octets: bytes) -> Deferred[None] | None:
        if not self._has_ended:
            self.octets += len(octets)
            self._written.append(octets)
        return None

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        if self._has_ended:
            raise StoreError("the message has already ended")
        octets = b"".join(self._written)
        self.abandon()
        self._accepted(self.queue_id, envelope, octets)
        for notice in notices:
            self._accepted(self._intake.make_id(), notice.envelope, notice.body)

    def abandon(self) -> None:
        self._has_ended = True
        self._written.clear()
