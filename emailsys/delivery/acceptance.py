"""Accept messages for the queue too: wake its runner, and tell senders who asked for it of what is delivered here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.delivery.outcomes import notice_of
from emailsys.interfaces import IIncoming, IIntake, IRouter, Notice
from emailsys.mail.dsn.report import Action, RecipientReport, Report
from emailsys.mail.dsn_request import Notify, RecipientRequest, original_recipient
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient, RemoteRoute


@implementer(IIntake)
class QueueingIntake:
    """The store's door for messages, and what the queue has to do with what comes in.

    @param wake: called after a commit that put something into the queue.
    @param max_returned: octets of a header that a notice returns.
    """

    def __init__(
        self, intake: IIntake, router: IRouter, hostname: str, wake: Callable[[], None], max_returned: int
    ) -> None:
        self._intake = intake
        self._router = router
        self._hostname = hostname
        self._wake = wake
        self._max_returned = max_returned

    def begin(self) -> QueueingIncoming:
        """A new, empty message."""
        return QueueingIncoming(self._intake.begin(), self._router, self._hostname, self._wake, self._max_returned)

    async def has_room(self, octets: int) -> bool:
        """Whether the store has."""
        return await self._intake.has_room(octets)


@implementer(IIncoming)
class QueueingIncoming:
    """A message body on its way into the store, of which the header is kept in mind."""

    def __init__(
        self, incoming: IIncoming, router: IRouter, hostname: str, wake: Callable[[], None], max_returned: int
    ) -> None:
        self._incoming = incoming
        self._router = router
        self._hostname = hostname
        self._wake = wake
        self._max_returned = max_returned
        # What was written first, up to what a notice returns; its header is looked for only if there is a notice.
        self._beginning: list[bytes] = []
        self._kept = 0
        self.queue_id: str = incoming.queue_id

    @property
    def octets(self) -> int:
        """How many octets were written."""
        return int(self._incoming.octets)

    def write(self, octets: bytes) -> Deferred[None] | None:
        """Take the next octets."""
        if self._kept < self._max_returned:
            self._beginning.append(octets)
            self._kept += len(octets)
        return self._incoming.write(octets)

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        """Return once message, rows and notices are on disk."""
        own = await self._notices(envelope) if _may_be_told(envelope) else ()
        queued = _is_queued(envelope)
        if queued:
            envelope = replace(envelope, recipients=[_for_the_queue(recipient) for recipient in envelope.recipients])
        await self._incoming.commit(envelope, (*notices, *own))
        if queued or any(_is_queued(notice.envelope) for notice in own):
            self._wake()

    def abandon(self) -> None:
        """Forget it."""
        self._incoming.abandon()

    async def _notices(self, envelope: Envelope) -> tuple[Notice, ...]:
        """Notices of success (RFC 3461 §6.2): delivered into maildrops here, or expanded to several addresses."""
        assert envelope.reverse_path is not None
        told: dict[Action, list[RecipientReport]] = {}
        for recipient in envelope.recipients:
            action = _success_of(recipient)
            if action is not None and recipient.dsn.wants(Notify.SUCCESS):
                report = RecipientReport(recipient.forward_path, action, orcpt=recipient.dsn.orcpt)
                told.setdefault(action, []).append(report)
        routes = await self._router.resolve(envelope.reverse_path) if told else ()
        if not routes:
            return ()
        original = b"".join(self._beginning)[: self._max_returned]
        return tuple(
            notice_of(
                Report(
                    hostname=self._hostname,
                    queue_id=self.queue_id,
                    unique=f"{self.queue_id}.{action.value}",
                    action=action,
                    reverse_path=envelope.reverse_path,
                    recipients=reports,
                    arrived_at=envelope.arrived_at,
                    made_at=envelope.arrived_at,
                    original=original,
                    parameters=envelope.parameters,
                ),
                routes,
            )
            for action, reports in told.items()
        )


def _may_be_told(envelope: Envelope) -> bool:
    """Whether anybody has asked for a notice and can get one."""
    if envelope.reverse_path is not None:
        for recipient in envelope.recipients:
            if recipient.dsn.notify is not None:
                return True
    return False


def _success_of(recipient: Recipient) -> Action | None:
    """What has been done for a recipient once it is accepted; None where its next hop will do it."""
    if len(recipient.routes) > 1:
        return Action.EXPANDED
    return Action.DELIVERED if recipient.routes and isinstance(recipient.routes[0], LocalRoute) else None


def _for_the_queue(recipient: Recipient) -> Recipient:
    """The recipient as its queue rows have it (RFC 3461 §5.2.7.3): success is told of already where it was expanded,
    and the sender recognises the address it wrote to."""
    asked = recipient.dsn
    notify = asked.notify
    if notify is not None and len(recipient.routes) > 1:
        notify &= ~Notify.SUCCESS
    orcpt = asked.orcpt
    if orcpt is None and recipient.forward_path.domain and any(_is_forwarded(route) for route in recipient.routes):
        orcpt = original_recipient(recipient.forward_path)
    if notify == asked.notify and orcpt is asked.orcpt:
        return recipient
    return replace(recipient, dsn=RecipientRequest(notify, orcpt))


def _is_forwarded(route: object) -> bool:
    return isinstance(route, RemoteRoute) and route.forwarded


def _is_queued(envelope: Envelope) -> bool:
    for recipient in envelope.recipients:
        for route in recipient.routes:
            if isinstance(route, RemoteRoute):
                return True
    return False
