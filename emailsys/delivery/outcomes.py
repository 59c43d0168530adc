"""Outcome of an attempt: decides whether a recipient is retried, and whether its sender gets a bounce or a warning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from emailsys.config.settings import QueueSettings
from emailsys.delivery.notice_writer import NoticeWriter
from emailsys.delivery.parcels import words
from emailsys.delivery.retry_schedule import after_attempt, gives_up_at
from emailsys.interfaces import Fate, IQueue, IRouter, Notice, QueueRow, Settlement, StoreError
from emailsys.mail.dsn.report import Action, RecipientReport, reports_by_action
from emailsys.mail.dsn_request import Notify, Return
from emailsys.mail.envelope import Route
from emailsys.mail.message.headers import header_end
from emailsys.mail.transmission import Outcome, OutcomeKind


@dataclass(frozen=True, slots=True)
class Entry:
    """The content of one commit: settlements in the order of the rows, and notices."""

    settlements: tuple[Settlement, ...]
    notices: tuple[Notice, ...] = ()


class Bookkeeper:
    """Decides how rows are settled after an attempt, and composes the notices (RFC 3461 §5.2, §6)."""

    def __init__(
        self, queue: IQueue, router: IRouter, settings: QueueSettings, hostname: str, writer: NoticeWriter
    ) -> None:
        self._queue = queue
        self._writer = writer
        self._router = router
        #: May be replaced at any time.
        self.settings = settings
        self._hostname = hostname

    def delay(self, now: datetime, chance: float) -> Callable[[int, datetime, bool], datetime | None]:
        """Return a function that computes when a row is due again after a delayed attempt at `now`.

        Its arguments are the number of attempts before, the start of the age, and whether the sender was warned. It
        returns None if a notice is due or the row expires.
        """

        def due_at(attempts: int, age_start: datetime, warned: bool) -> datetime | None:
            step = after_attempt(self.settings, attempts, age_start, now, warned, chance)
            return None if step.warn else step.due_at

        return due_at

    async def settle(
        self,
        rows: Sequence[QueueRow],
        outcomes: Sequence[Outcome],
        now: datetime,
        schedule_time: datetime,
        chance: float,
    ) -> Entry:
        """Return the settlements and notices after an attempt.

        @param rows: rows of one message.
        @param outcomes: one outcome for each row, in the order of the rows.
        @param now: the time in the notices.
        @param schedule_time: the time that delayed rows are rescheduled from (see `Parcel.schedule_time`).
        @param chance: a random number between 0 and 1; the same for all rows, so that they stay together.
        @raise StoreError: the message or the routes to its sender cannot be read now.
        """
        settlements: list[Settlement] = []
        reports: list[RecipientReport] = []
        sender = _SenderRoutes(self._writer, self._router, rows[0])
        for row, outcome in zip(rows, outcomes, strict=True):
            settlement, report = await self._one(row, outcome, now, schedule_time, chance, sender)
            settlements.append(settlement)
            if report is not None:
                reports.append(report)
        notices = await self._notices(rows[0], reports, now, await sender.routes()) if reports else ()
        return Entry(tuple(settlements), notices)

    async def _one(
        self,
        row: QueueRow,
        outcome: Outcome,
        now: datetime,
        schedule_time: datetime,
        chance: float,
        sender: _SenderRoutes,
    ) -> tuple[Settlement, RecipientReport | None]:
        last = words(outcome)
        if outcome.kind is OutcomeKind.DELIVERED:
            done = Settlement(row, reply=last, fate=Fate.RELAYED, remote=outcome.remote)
            # RFC 3461 §5.2.2: a next hop with DSN sends the notices; for any other, this system sends a `relayed` one.
            notify = not outcome.takes_dsn and row.dsn.wants(Notify.SUCCESS) and bool(await sender.routes())
            return done, self._report(row, outcome, Action.RELAYED, now) if notify else None
        due_at = None
        expired = False
        if outcome.cut_short:
            return Settlement(row, schedule_time, tried=False), None
        if outcome.hold:
            return Settlement(row, now, last, hold=True), None
        if outcome.kind is OutcomeKind.DELAYED:
            step = after_attempt(self.settings, row.attempts, row.age_start, schedule_time, row.warned, chance)
            due_at, expired = step.due_at, step.due_at is None
            if due_at is not None:
                warn = step.warn and row.dsn.wants(Notify.DELAY) and bool(await sender.routes())
                delayed = Settlement(row, due_at, last, remote=outcome.remote, warned=warn, in_doubt=outcome.in_doubt)
                return delayed, self._report(row, outcome, Action.DELAYED, now) if warn else None
        notify = row.dsn.wants(Notify.FAILURE) and bool(await sender.routes())
        fate = Fate.FAILED if notify else Fate.FAILED_UNTOLD
        failed = Settlement(row, reply=last, fate=fate, remote=outcome.remote, in_doubt=outcome.in_doubt)
        return failed, self._report(row, outcome, Action.FAILED, now, expired) if notify else None

    def _report(
        self, row: QueueRow, outcome: Outcome, action: Action, now: datetime, expired: bool = False
    ) -> RecipientReport:
        return RecipientReport(
            forward_path=row.forward_path,
            action=action,
            reply=outcome.reply,
            remote=(outcome.remote or None) if outcome.from_remote else None,
            orcpt=row.dsn.orcpt,
            expired=expired,
            attempted_at=now,
            will_retry_until=gives_up_at(self.settings, row.age_start) if action is Action.DELAYED else None,
            in_doubt=outcome.in_doubt,
            route_at_fault=outcome.route_at_fault,
            no_public_address=outcome.no_public_address,
        )

    async def _notices(
        self, row: QueueRow, reports: Sequence[RecipientReport], now: datetime, routes: Sequence[Route]
    ) -> tuple[Notice, ...]:
        assert row.reverse_path is not None
        full = row.parameters.dsn.ret is Return.FULL and row.octets <= self.settings.max_returned
        original = await self._beginning(row, full and any(report.action is Action.FAILED for report in reports))
        about = reports_by_action(
            reports,
            hostname=self._hostname,
            queue_id=row.queue_id,
            unique=f"{row.queue_id}.{row.row_id}.{row.attempts}",
            reverse_path=row.reverse_path,
            arrived_at=row.arrived_at,
            made_at=now,
            parameters=row.parameters,
            original=original,
            is_complete=full,
        )
        return await self._writer.write(about, routes)

    async def _beginning(self, row: QueueRow, whole: bool) -> bytes:
        """Return the message or its header, at most `max_returned` octets."""
        most = self.settings.max_returned
        octets = b""
        try:
            async for piece in self._queue.pieces(row):
                octets += piece
                if len(octets) >= most or (not whole and header_end(octets) is not None):
                    break
        except StoreError:
            # RFC 6522 §3: the returned part may be missing. A failure is reported even if the body cannot be read.
            return b""
        return octets[:most]


class _SenderRoutes:
    """The routes to the sender of a message, resolved once, at the first use."""

    def __init__(self, writer: NoticeWriter, router: IRouter, row: QueueRow) -> None:
        self._writer = writer
        self._router = router
        self._row = row
        self._routes: Sequence[Route] | None = None

    async def routes(self) -> Sequence[Route]:
        """Return the routes of a notice to the sender, none if it gets no notice."""
        if self._routes is None:
            self._routes = await self._writer.routes(self._router, self._row.reverse_path, self._row.queue_id)
        return self._routes
