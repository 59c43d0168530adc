"""Acceptance of outbound mail: queues it, wakes the queue runner, composes notices of success and of full maildrops."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer

from emailsys.delivery.limit_notices import limit_notices
from emailsys.delivery.notice_writer import NoticeWriter
from emailsys.delivery.sending_counts import Admission
from emailsys.interfaces import IIncoming, IIntake, IRouter, Notice
from emailsys.mail.dsn.report import Action, RecipientReport, reports_by_action
from emailsys.mail.dsn_request import Notify, RecipientRequest, original_recipient
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient, RemoteRoute
from emailsys.mail.reply import MEMBER_FULL


class SenderLimits(Protocol):
    """Limits what senders send to other systems. `emailsys.delivery.sending_limits` does."""

    def admit(self, envelope: Envelope) -> Admission | Deferred[Admission]:
        """Count a message for its senders. Returns, at once or later, its envelope with the recipients to hold.

        @raise TooMuchHeld: (also in the Deferred) the message must not be accepted.
        """

    def revoke(self, admission: Admission) -> None:
        """Take back what was counted for a message that was not accepted."""

    def log(self, admission: Admission, queue_id: str) -> None:
        """Log the limits that were reached: the message was accepted."""


@implementer(IIntake)
class QueueingIntake:
    """Intake that wraps the intake of the store.

    It adds notices to a commit: of success, and of failure for full maildrops behind an alias. All other notices of
    failure come from `delivery.outcomes`.

    @param wake: called after a commit that added queue rows.
    @param max_returned: maximum octets of the header that a notice returns.
    @param limits: None if senders have no limits.
    """

    def __init__(
        self,
        intake: IIntake,
        router: IRouter,
        hostname: str,
        writer: NoticeWriter,
        wake: Callable[[], None],
        max_returned: int,
        limits: SenderLimits | None = None,
    ) -> None:
        self.intake = intake
        self.writer = writer
        self.router = router
        self.hostname = hostname
        self.wake = wake
        self.max_returned = max_returned
        self.limits = limits

    def begin(self) -> QueueingIncoming:
        """Return a new, empty message."""
        return QueueingIncoming(self)

    def has_room(self, octets: int) -> Coroutine[Any, Any, bool]:
        """Return whether the store has room for this number of octets."""
        return self.intake.has_room(octets)


@implementer(IIncoming)
class QueueingIncoming:
    """A message body that is written to the store. Its first octets are kept for a notice."""

    def __init__(self, intake: QueueingIntake) -> None:
        self._intake = intake
        self._incoming = intake.intake.begin()
        # The first octets, at most `max_returned`. The header is searched in them only if there is a notice.
        self._beginning: list[bytes] = []
        self._kept = 0
        self.queue_id: str = self._incoming.queue_id

    @property
    def octets(self) -> int:
        """The number of octets written."""
        return int(self._incoming.octets)

    def write(self, octets: bytes) -> Deferred[None] | None:
        """Write the next octets. If it returns a Deferred, wait until it fires."""
        if self._kept < self._intake.max_returned:
            self._beginning.append(octets)
            self._kept += len(octets)
        return self._incoming.write(octets)

    async def commit(self, envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        """Commit the message with the notices. Returns when message, rows and notices are on disk."""
        try:
            await self._commit(envelope, notices)
        except BaseException:
            # The caller does not abandon a message that it commits. Does nothing if the commit of the store has begun.
            self._incoming.abandon()
            raise

    async def _commit(self, envelope: Envelope, notices: Sequence[Notice]) -> None:
        """Add the notices of the acceptance, commit, and wake the queue runner."""
        full = _with_full_maildrops(envelope)
        if full:
            envelope = replace(envelope, recipients=[_without_full(recipient) for recipient in envelope.recipients])
        own = await self._notices(envelope, full) if full or _may_need_notice(envelope) else ()
        queued = _is_queued(envelope)
        if queued:
            envelope = replace(envelope, recipients=[_for_the_queue(recipient) for recipient in envelope.recipients])
            await self._commit_queued(envelope, (*notices, *own))
        else:
            await self._incoming.commit(envelope, (*notices, *own))
        if queued or (own and any(_is_queued(notice.envelope) for notice in own)):
            self._intake.wake()

    async def _commit_queued(self, envelope: Envelope, notices: Sequence[Notice]) -> None:
        """Commit a message with remote recipients. Those beyond a sending limit are held."""
        intake, limits = self._intake, self._intake.limits
        if limits is None:
            await self._incoming.commit(envelope, notices)
            return
        counted = limits.admit(envelope)
        admission = await counted if isinstance(counted, Deferred) else counted
        try:
            if admission.crossings:
                at = (intake.router, intake.hostname, self.queue_id, envelope.arrived_at)
                notices = (*notices, *await limit_notices(admission.crossings, *at))
            await self._incoming.commit(admission.envelope, notices)
        except BaseException:
            limits.revoke(admission)
            raise
        limits.log(admission, self.queue_id)

    def abandon(self) -> None:
        """Discard the message."""
        self._incoming.abandon()

    async def _notices(self, envelope: Envelope, full: Sequence[Recipient]) -> tuple[Notice, ...]:
        """Return notices of success (RFC 3461 §6.2) for recipients that were delivered here or expanded.

        @param full: recipients with full maildrops among their targets. Each gets a notice of failure that does not
            name the target (RFC 3461 §5.2.7.3).
        """
        if envelope.reverse_path is None:
            return ()
        reports = [
            RecipientReport(recipient.forward_path, Action.FAILED, MEMBER_FULL, orcpt=recipient.dsn.orcpt)
            for recipient in full
            if recipient.dsn.wants(Notify.FAILURE)
        ]
        for recipient in envelope.recipients:
            action = _success_of(recipient)
            if action is not None and recipient.dsn.wants(Notify.SUCCESS):
                reports.append(RecipientReport(recipient.forward_path, action, orcpt=recipient.dsn.orcpt))
        intake = self._intake
        routes = await intake.writer.routes(intake.router, envelope.reverse_path, self.queue_id) if reports else ()
        if not routes:
            return ()
        about = reports_by_action(
            reports,
            hostname=intake.hostname,
            queue_id=self.queue_id,
            unique=self.queue_id,
            reverse_path=envelope.reverse_path,
            arrived_at=envelope.arrived_at,
            made_at=envelope.arrived_at,
            parameters=envelope.parameters,
            original=b"".join(self._beginning)[: intake.max_returned],
        )
        return await intake.writer.write(about, routes)


def _may_need_notice(envelope: Envelope) -> bool:
    """Return whether a sender requested notices, and has an address to receive them."""
    if envelope.reverse_path is not None:
        for recipient in envelope.recipients:
            if recipient.dsn.notify is not None:
                return True
    return False


def _with_full_maildrops(envelope: Envelope) -> list[Recipient]:
    """Return the recipients that have full maildrops among several targets."""
    return [
        recipient
        for recipient in envelope.recipients
        if len(recipient.routes) > 1
        and any(isinstance(route, LocalRoute) and route.is_full for route in recipient.routes)
    ]


def _without_full(recipient: Recipient) -> Recipient:
    kept = tuple(route for route in recipient.routes if not (isinstance(route, LocalRoute) and route.is_full))
    return replace(recipient, routes=kept)


def _success_of(recipient: Recipient) -> Action | None:
    """Return what acceptance completed for a recipient, or None if its next hop completes the delivery."""
    if len(recipient.routes) > 1:
        return Action.EXPANDED
    return Action.DELIVERED if recipient.routes and isinstance(recipient.routes[0], LocalRoute) else None


def _for_the_queue(recipient: Recipient) -> Recipient:
    """Return the recipient for its queue rows (RFC 3461 §5.2.7.3).

    An expanded recipient has its notice of success already. A forwarded one gets its original address as ORCPT.
    """
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
