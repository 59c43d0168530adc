"""Trace: finds messages by id, Message-ID or address, and lists their events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select
from zope.interface import implementer

from emailsys.interfaces import Fate
from emailsys.interfaces.operators import EventKind, Happening, ITrace, Life, Traced
from emailsys.mail.address import Address
from emailsys.store.commit.database import Database
from emailsys.store.commit.ids import first_id_at, id_number, id_text
from emailsys.store.ledger.events import shown_client
from emailsys.store.schema.columns import microseconds, moment, reverse_path
from emailsys.store.schema.tables import accounts, events, maildrop, messages, queue, settled

# Messages that one read searches, and an id above all others.
_SCANNED: Final = 5_000
_NEWEST: Final = 1 << 62
# Rows that are listed for one message.
_LISTED: Final = 1_000

_FATES: Final = {
    Fate.RELAYED: EventKind.RELAYED,
    Fate.FAILED: EventKind.FAILED,
    Fate.FAILED_UNTOLD: EventKind.FAILED_UNTOLD,
    Fate.DELETED: EventKind.DELETED,
    Fate.DROPPED: EventKind.DROPPED,
    Fate.EXPIRED: EventKind.EXPIRED,
}


@implementer(ITrace)
class Trace:
    """Finds messages. Each read is short: a search by address goes back in time, part by part."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """@param clock: a monotonic clock, in seconds."""
        self._database = database
        self._clock = clock

    async def search(
        self,
        query: str,
        limit: int,
        since: datetime | None = None,
        cursor: str | None = None,
        seconds: float = math.inf,
    ) -> Traced:
        """Find messages by queue id, Message-ID or address, the latest first."""
        number = id_number(query)
        if number is not None and (found := await self._database.read("trace-id", _existing(number))):
            return Traced(await self._read_lives(found))
        if "@" not in query and not query.startswith("<"):
            return Traced(())
        least = 0 if since is None else first_id_at(microseconds(since))
        return await self._go_back(_fits(query), limit, least, _NEWEST if cursor is None else int(cursor), seconds)

    async def _go_back(self, fits: Callable[[Any], Any], limit: int, least: int, before: int, seconds: float) -> Traced:
        """Search messages from one id back to another, part by part.

        @param fits: makes the condition on a part.
        @param seconds: after this time the search stops, and returns a cursor for the next one.
        """
        until = self._clock() + seconds
        found: list[int] = []
        searched, reached = 0, None
        while len(found) < limit:
            part = (
                select(messages)
                .where(messages.c.message_id < before, messages.c.message_id >= least)
                .order_by(messages.c.message_id.desc())
                .limit(_SCANNED)
                .subquery()
            )
            count, low, arrived_at = await self._database.read("trace-part", _extent(part))
            if not count:
                return Traced(await self._read_lives(found), None, searched, reached)
            asked = select(part.c.message_id).where(fits(part)).order_by(part.c.message_id.desc())
            found += await self._database.read("trace-search", _numbers(asked))
            before, searched, reached = low, searched + count, moment(arrived_at)
            if len(found) < limit and self._clock() >= until:
                return Traced(await self._read_lives(found), str(before), searched, reached)
        return Traced(await self._read_lives(found[:limit]), None, searched, reached)

    async def _read_lives(self, found: Sequence[int]) -> tuple[Life, ...]:
        return tuple([await self._database.read("trace", _read_life(number)) for number in found])


def _extent(part: Any) -> Callable[[Connection], tuple[int, int, int]]:
    """Return the number of messages in a part, the lowest id and the earliest arrival."""
    asked = select(func.count(), func.min(part.c.message_id), func.min(part.c.arrived_at))
    return lambda connection: tuple(connection.execute(asked).one())


def _fits(query: str) -> Callable[[Any], Any]:
    """Match messages with a Message-ID. If the query may be an address, match its mail, too."""
    bears, concerns = _bears(query), _concerns(query)
    # An address looks like a Message-ID without its brackets.
    return bears if query.startswith("<") else lambda part: bears(part) | concerns(part)


def _bears(query: str) -> Callable[[Any], Any]:
    """Match messages with a Message-ID."""
    return lambda part: part.c.header_id.in_((query, f"<{query}>"))


def _concerns(query: str) -> Callable[[Any], Any]:
    """Match messages from or to an address."""
    local, _, domain = query.lower().rpartition("@")
    pattern = "%" + "".join(f"\\{c}" if c in "\\%_" else c for c in query.lower()) + "%"

    def fits(part: Any) -> Any:
        sent_by_it = (func.lower(part.c.reverse_local) == local) & (func.lower(part.c.reverse_domain) == domain)
        return sent_by_it | func.lower(part.c.recipients).like(pattern, escape="\\")

    return fits


def _numbers(asked: Any) -> Callable[[Connection], Sequence[int]]:
    return lambda connection: connection.execute(asked).scalars().all()


def _existing(number: int) -> Callable[[Connection], Sequence[int]]:
    return _numbers(select(messages.c.message_id).where(messages.c.message_id == number))


def _read_life(message_id: int) -> Callable[[Connection], Life]:
    def read(connection: Connection) -> Life:
        here = {
            table: connection.execute(select(table).where(table.c.message_id == message_id).limit(_LISTED)).all()
            for table in (queue, settled, events)
        }
        drops = connection.execute(
            select(maildrop.c.row_id, accounts.c.local, accounts.c.domain)
            .join(accounts, accounts.c.account_id == maildrop.c.account_id)
            .where(maildrop.c.message_id == message_id)
            .limit(_LISTED)
        ).all()
        message = connection.execute(select(messages).where(messages.c.message_id == message_id)).one()
        notices = connection.execute(
            select(messages.c.message_id, messages.c.arrived_at, messages.c.recipients)
            .where(messages.c.cause == message_id)
            .limit(_LISTED)
        ).all()
        recipients = list(_recipients(message.recipients or ""))
        names = {row_id: path for row_ids, path, _ in recipients for row_id in row_ids}
        beginning = _beginning(message, recipients, drops, here[queue], here[settled], names)
        happenings = [
            Happening(
                moment(row.at),
                EventKind(row.kind),
                _named(row, names),
                row.reply or "",
                row.remote or "",
                bool(row.in_doubt),
                uid=id_text(row.row_id) if row.kind == EventKind.FETCHED.value and row.row_id is not None else "",
            )
            for row in here[events]
        ]
        happenings += [
            Happening(
                moment(row.settled_at),
                _FATES[Fate[row.fate]],
                _named(row, names),
                row.reply or "",
                row.remote or "",
                bool(row.in_doubt),
                uid=id_text(row.row_id) if row.fate == Fate.DELETED.name else "",
            )
            for row in here[settled]
        ]
        happenings += [
            Happening(
                moment(row.arrived_at),
                EventKind.NOTICE,
                next((p for _, p, _ in _recipients(row.recipients)), ""),
                detail=id_text(row.message_id),
            )
            for row in notices
        ]
        reverse = reverse_path(message.reverse_local, message.reverse_domain)
        return Life(
            queue_id=id_text(message_id),
            arrived_at=moment(message.arrived_at),
            reverse_path=None if reverse is None else str(reverse),
            header_id=message.header_id or "",
            octets=message.octets,
            client=None if message.client is None else shown_client(message.client),
            cause="" if message.cause is None else id_text(message.cause),
            recipients=tuple(path for _, path, _ in recipients),
            happenings=(*beginning, *sorted(happenings, key=lambda one: one.at)),
            queued=len(here[queue]),
            stored=len(drops),
        )

    return read


def _recipients(lines: str) -> Iterator[tuple[list[int], str, list[str]]]:
    """Yield the row ids of each recipient, its forward-path, and the targets of its alias on other hosts."""
    for line in lines.split("\n") if lines else ():
        ids, _, rest = line.partition(" ")
        path, *elsewhere = rest.split("\t")
        yield [int(number) for number in ids.split(",") if number], path, elsewhere


def _beginning(
    message: Any,
    recipients: Sequence[tuple[list[int], str, list[str]]],
    drops: Sequence[Any],
    queued: Sequence[Any],
    ended: Sequence[Any],
    names: dict[int, str],
) -> Iterator[Happening]:
    """Yield the events of the commit that accepted the message."""
    at = moment(message.arrived_at)
    yield Happening(at, EventKind.ACCEPTED)
    stored = {row.row_id: str(Address(row.local, row.domain)) for row in drops}
    stored |= {row.row_id: "" for row in ended if row.recipient is None}
    sent = {row.row_id: str(Address(row.forward_local, row.forward_domain)) for row in queued}
    sent |= {row.row_id: row.recipient for row in ended if row.recipient is not None}
    for row_ids, path, elsewhere in recipients:
        if len(row_ids) > 1 or elsewhere:
            ways = [sent.get(row_id) or stored.get(row_id) or "an account" for row_id in row_ids]
            yield Happening(at, EventKind.EXPANDED, path, detail=", ".join(ways))
        for row_id in row_ids:
            if row_id in stored:
                yield Happening(at, EventKind.STORED, path, detail=stored[row_id])
            elif row_id in sent:
                yield Happening(at, EventKind.QUEUED, sent[row_id])
    for row_id in stored.keys() - names.keys():
        # Accepted by release 0.1, which did not record recipients.
        yield Happening(at, EventKind.STORED, stored[row_id], detail=stored[row_id])


def _named(row: Any, names: dict[int, str]) -> str:
    return str(row.recipient or names.get(row.row_id, ""))
