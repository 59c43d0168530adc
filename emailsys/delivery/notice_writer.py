"""Notice writer: has DSNs composed in a thread, because the text of strangers may be slow to decode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

from emailsys.interfaces import IRouter, Notice
from emailsys.mail.address import Address
from emailsys.mail.dsn.composition import compose
from emailsys.mail.dsn.report import Report
from emailsys.mail.dsn_request import Notify, RecipientRequest
from emailsys.mail.envelope import Envelope, Recipient, Route

T = TypeVar("T")


class InThread(Protocol):
    """Calls a function in a thread, and returns its result to the reactor thread."""

    def __call__(self, function: Callable[[], T]) -> Awaitable[T]: ...


class NoticeLimit(Protocol):
    """Limits how many notices leave for an address. `emailsys.delivery.notice_cap` does."""

    def take(self, address: Address, routes: Sequence[Route], queue_id: str) -> bool | Deferred[bool]:
        """Count a notice about a message. Returns, at once or later, whether it may be sent."""


class NoticeWriter:
    """Composes notices off the reactor thread, and says where they go."""

    def __init__(self, in_thread: InThread, cap: NoticeLimit | None = None) -> None:
        """@param cap: None if any number of notices may go to one address."""
        self._in_thread = in_thread
        self._cap = cap

    async def routes(self, router: IRouter, sender: Address | None, queue_id: str) -> Sequence[Route]:
        """Return the routes of a notice to the sender of a message.

        There are none for the null reverse-path, because no DSN answers a DSN (RFC 3461 §6.1), for an address that does
        not exist here, and for an address that has got enough notices.
        """
        if sender is None:
            return ()
        routes = await router.resolve(sender)
        if routes and self._cap is not None and not await maybeDeferred(self._cap.take, sender, routes, queue_id):
            return ()
        return routes

    async def write(self, reports: Sequence[Report], routes: Iterable[Route]) -> tuple[Notice, ...]:
        """Return a notice for each report. @param routes: the routes to the sender."""
        taken = tuple(routes)
        return await self._in_thread(lambda: tuple(notice_of(report, taken) for report in reports))


def notice_of(report: Report, routes: Iterable[Route]) -> Notice:
    """Return a notification with the envelope of RFC 3461 §6.1: null reverse-path and NOTIFY=NEVER."""
    notification = compose(report)
    envelope = Envelope(
        None,
        (Recipient(report.reverse_path, tuple(routes), RecipientRequest(Notify.NEVER)),),
        report.made_at,
        notification.parameters,
    )
    return Notice(envelope, notification.octets)
