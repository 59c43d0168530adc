"""Intake of a recorded session: tells when a message is on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.interfaces import IIncoming, IIntake, Notice
from emailsys.interfaces.wiretap import ITap
from emailsys.mail.envelope import Envelope


@implementer(IIncoming)
class TappedIncoming:
    """A message that tells of its commit."""

    def __init__(self, incoming: IIncoming, tap: ITap) -> None:
        self._incoming = incoming
        self._tap = tap
        self.queue_id: str = incoming.queue_id
        self._digest = hashlib.sha256()

    @property
    def octets(self) -> int:
        return self._incoming.octets

    def write(self, octets: bytes) -> Deferred[None] | None:
        self._digest.update(octets)
        return self._incoming.write(octets)

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        await self._incoming.commit(envelope, notices)
        self._tap.committed(
            "the message is on disk",
            queue_id=self.queue_id,
            message_id=envelope.message_id,
            octets=self.octets,
            sha256=self._digest.hexdigest(),
            recipients=len(envelope.recipients),
        )

    def abandon(self) -> None:
        self._incoming.abandon()


@implementer(IIntake)
class TappedIntake:
    """An intake whose messages tell of their commits."""

    def __init__(self, intake: IIntake, tap: ITap) -> None:
        self._intake = intake
        self._tap = tap

    def begin(self) -> TappedIncoming:
        return TappedIncoming(self._intake.begin(), self._tap)

    async def has_room(self, octets: int) -> bool:
        return await self._intake.has_room(octets)
