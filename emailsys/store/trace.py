"""Find messages by id, Message-ID or address, and gather what happened to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select
from zope.interface import implementer

from emailsys.interfaces import Fate
from emailsys.mail.address import Address
from emailsys.operations import EventKind, Happening, ITrace, Life
from emailsys.store.database import Database
from emailsys.store.history import microseconds, moment
from emailsys.store.ids import first_id_at, id_number, id_text
from emailsys.store.queue import reverse_path
from emailsys.store.schema import accounts, events, maildrop, messages, queue, settled

_DAY: Final = 86_400 * 1_000_000
# How far back is looked where nobody says, and how many messages one read looks at.
_LOOK_BACK: Final = 60 * _DAY
_SCANNED: Final = 5_000
# Rows of one message that are told; a message to thousands is not read to its end by anybody.
_TOLD: Final = 1_000

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
    """Each read is short; a search by address goes back in time, part by part."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        """@param now: seconds since 1970."""
        self._database = database
        self._now = now

    async def lives(self, query: str, limit: int, since: datetime | None = None) -> Sequence[Life]:
        """Messages by queue id, by Message-ID, or by an address; the latest first."""
        found: Sequence[int] = ()
        number = id_number(query)
        if number is not None:
            found = await self._database.read("trace-id", _existing(number))
        since_us = None if since is None else microseconds(since)
        if not found and ("@" in query or query.startswith("<")):
            # An address looks like a Message-ID without its brackets: whatever the text is, one search finds it.
            bears, concerns = _bears(query), _concerns(query)
            found = await self._search(lambda part: bears(part) | concerns(part), limit, since_us)
        return [await self._database.read("trace", _gather(number)) for number in found]

    async def _search(self, fits: Callable[[Any], Any], limit: int, since: int | None) -> list[int]:
        """Go back in time, part by part; `fits` makes a condition on a part."""
        least = first_id_at(int(self._now() * 1_000_000) - _LOOK_BACK if since is None else since)
        before = 1 << 62
        found: list[int] = []
        while len(found) < limit:
            part = (
                select(messages)
                .where(messages.c.message_id < before, messages.c.message_id >= least)
                .order_by(messages.c.message_id.desc())
                .limit(_SCANNED)
                .subquery()
            )
            asked = select(part.c.message_id).where(fits(part)).order_by(part.c.message_id.desc())
            found += await self._database.read("trace-search", _numbers(asked))
            (low,) = await self._database.read("trace-part", _numbers(select(func.min(part.c.message_id))))
            if low is None:
                break
            before = low
        return found[:limit]


def _bears(query: str) -> Callable[[Any], Any]:
    """Messages with that Message-ID."""
    return lambda part: part.c.header_id.in_((query, f"<{query}>"))


def _concerns(query: str) -> Callable[[Any], Any]:
    """Messages from or to an address."""
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


def _gather(message_id: int) -> Callable[[Connection], Life]:
    def gather(connection: Connection) -> Life:
        here = {
            table: connection.execute(select(table).where(table.c.message_id == message_id).limit(_TOLD)).all()
            for table in (queue, settled, events)
        }
        drops = connection.execute(
            select(maildrop.c.row_id, accounts.c.local, accounts.c.domain)
            .join(accounts, accounts.c.account_id == maildrop.c.account_id)
            .where(maildrop.c.message_id == message_id)
            .limit(_TOLD)
        ).all()
        message = connection.execute(select(messages).where(messages.c.message_id == message_id)).one()
        notices = connection.execute(
            select(messages.c.message_id, messages.c.arrived_at, messages.c.recipients).where(
                messages.c.cause == message_id
            )
        ).all()
        recipients = list(_recipients(message.recipients or ""))
        names = {row_id: path for row_ids, path, _ in recipients for row_id in row_ids}
        beginning = _beginning(message, recipients, drops, here[queue], here[settled], names)
        told = [
            Happening(
                moment(row.at),
                EventKind(row.kind),
                _named(row, names),
                row.reply or "",
                row.remote or "",
                bool(row.in_doubt),
            )
            for row in here[events]
        ]
        told += [
            Happening(
                moment(row.settled_at),
                _FATES[Fate[row.fate]],
                _named(row, names),
                row.reply or "",
                row.remote or "",
                bool(row.in_doubt),
            )
            for row in here[settled]
        ]
        told += [
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
            client=None if message.client is None else json.loads(message.client),
            cause="" if message.cause is None else id_text(message.cause),
            recipients=tuple(path for _, path, _ in recipients),
            happenings=(*beginning, *sorted(told, key=lambda one: one.at)),
            queued=len(here[queue]),
            stored=len(drops),
        )

    return gather


def _recipients(lines: str) -> Iterator[tuple[list[int], str, list[str]]]:
    """Row ids, forward-path, and where else an alias has sent it."""
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
    """What the commit of its acceptance did."""
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
        # Accepted by release 0.1, which did not note the recipients.
        yield Happening(at, EventKind.STORED, stored[row_id], detail=stored[row_id])


def _named(row: Any, names: dict[int, str]) -> str:
    return str(row.recipient or names.get(row.row_id, ""))
