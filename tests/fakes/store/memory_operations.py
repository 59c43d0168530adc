"""The operator's doors of the store in memory: routes, quotas, the queue, trace and ledger."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from zope.interface import implementer

from emailsys.interfaces import Fate
from emailsys.interfaces.operators import (
    AdminError,
    Checked,
    DomainQueue,
    EventKind,
    Happening,
    IQueueOperations,
    IQuotas,
    IRouteAdministration,
    ITrace,
    IVerification,
    Life,
    QueueChange,
    QueueEntry,
    QueueFilter,
    RowState,
    Traced,
    Usage,
)
from emailsys.mail.address import Address, domain_key
from emailsys.mail.envelope import RemoteRoute
from emailsys.mail.next_hop import HostRoute


@implementer(IRouteAdministration)
class MemoryRoutes:
    """Routes by their two domains."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], HostRoute] = {}

    async def set_route(self, route: HostRoute) -> None:
        self._routes[domain_key(route.sender_domain), domain_key(route.recipient_domain)] = route

    async def remove_route(self, recipient_domain: str, sender_domain: str) -> None:
        if self._routes.pop((domain_key(sender_domain), domain_key(recipient_domain)), None) is None:
            raise AdminError("there is no route for these domains")

    async def routes(self) -> Sequence[HostRoute]:
        return tuple(route for _, route in sorted(self._routes.items(), key=lambda item: item[0]))


@implementer(IQuotas)
class MemoryQuotas:
    """Bounds by account and domain, counted each time."""

    def __init__(self, accounts: Any, drops: Mapping[int, Sequence[Any]]) -> None:
        self._accounts = accounts
        self._drops = drops

    def _octets(self, account_id: int) -> int:
        return sum(len(row.octets) for row in self._drops.get(account_id, ()))

    async def usage(self, account_id: int) -> tuple[Usage, Usage]:
        logins = {login.account.account_id: login.account.address for login in self._accounts.logins()}
        address = logins[account_id]
        mine = self._accounts.quotas.get(address.key) or 0
        ours = self._accounts.domain_quotas.get(address.key[1]) or 0
        together = sum(self._octets(number) for number, other in logins.items() if other.key[1] == address.key[1])
        return Usage(self._octets(account_id) if mine else 0, mine), Usage(together if ours else 0, ours)

    async def set_quota(self, address: Address | str, octets: int | None) -> None:
        if isinstance(address, str):
            if not any(domain_key(row.name) == domain_key(address) for row in await self._accounts.list_domains()):
                raise AdminError(f"there is no domain {address}")
            self._accounts.domain_quotas[domain_key(address)] = octets
            return
        if address.key not in {login.account.address.key for login in self._accounts.logins()}:
            raise AdminError(f"there is no user {address}")
        self._accounts.quotas[address.key] = octets


@implementer(IQueueOperations)
class MemoryQueueOperations:
    """The operator's view of the rows that wait."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def _state(self, row: Any) -> RowState:
        if row.on_hold:
            return RowState.HELD
        return RowState.WAITING if row.lease is None else RowState.LEASED

    def _fits(self, row: Any, which: QueueFilter) -> bool:
        reverse = row.message.envelope.reverse_path
        arrived_at = row.message.envelope.arrived_at
        by_sender = {"<>"} if reverse is None else {str(reverse).lower(), reverse.domain.lower()}
        return (
            (not which.queue_ids or row.message.queue_id in which.queue_ids)
            and (not which.domain or row.forward_path.key[1] == domain_key(which.domain))
            and (not which.sender or which.sender.lower() in by_sender)
            and (which.state is None or self._state(row) is which.state)
            and (not which.older_than or arrived_at <= self._store.now() - timedelta(seconds=which.older_than))
        )

    async def entries(self, which: QueueFilter, limit: int, after: int = 0) -> Sequence[QueueEntry]:
        return [
            QueueEntry(
                row.row_id,
                row.message.queue_id,
                row.message.envelope.reverse_path,
                row.forward_path,
                self._state(row),
                row.message.envelope.arrived_at,
                None if row.on_hold and row.lease is None else row.due_at,
                len(row.message.body),
                row.attempts,
                row.warned,
                row.last_reply,
                row.last_remote,
            )
            for row in self._store.waiting
            if row.row_id > after and self._fits(row, which)
        ][:limit]

    async def summary(self) -> Sequence[DomainQueue]:
        domains: dict[str, list[Any]] = {}
        for row in self._store.waiting:
            domains.setdefault(row.forward_path.domain.lower(), []).append(row)
        found = []
        for domain, rows in sorted(domains.items(), key=lambda item: (-len(item[1]), item[0])):
            states = Counter(self._state(row) for row in rows)
            found.append(
                DomainQueue(
                    domain,
                    states[RowState.WAITING],
                    states[RowState.LEASED],
                    states[RowState.HELD],
                    min(row.message.envelope.arrived_at for row in rows),
                    min((row.due_at for row in rows if row.lease or not row.on_hold), default=None),
                )
            )
        return found

    async def change(self, which: QueueFilter, change: QueueChange) -> int:
        changed = 0
        for row in [row for row in self._store.waiting if self._fits(row, which)]:
            if change is QueueChange.DROP:
                self._store.waiting.remove(row)
                row.message.ended[row.row_id] = Fate.DROPPED
                self._store.tell(row.message, EventKind.DROPPED, row.forward_path)
            elif change is QueueChange.RETRY and self._state(row) is RowState.WAITING:
                row.due_at = self._store.now()
                self._store.tell(row.message, EventKind.RETRIED, row.forward_path)
            elif change is QueueChange.HOLD and not row.on_hold:
                row.on_hold = True
                self._store.tell(row.message, EventKind.HELD, row.forward_path)
            elif change is QueueChange.RELEASE and row.on_hold:
                row.on_hold = False
                if row.lease is None:
                    row.due_at = row.aged_from = self._store.now()
                self._store.tell(row.message, EventKind.RELEASED, row.forward_path)
            else:
                continue
            changed += 1
        return changed


@implementer(ITrace)
class MemoryTrace:
    """Looks at every message there ever was."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def _fits(self, message: Any, query: str, since: datetime | None) -> bool:
        envelope = message.envelope
        if since is not None and envelope.arrived_at < since:
            return False
        names = {message.queue_id, envelope.message_id, envelope.message_id.strip("<>")} - {""}
        paths = [envelope.reverse_path, *(recipient.forward_path for recipient in envelope.recipients)]
        paths += [r.forward_path for one in envelope.recipients for r in one.routes if isinstance(r, RemoteRoute)]
        return query in names or query.lower() in {str(path).lower() for path in paths if path is not None}

    async def search(
        self,
        query: str,
        limit: int,
        since: datetime | None = None,
        cursor: str | None = None,
        seconds: float = math.inf,
    ) -> Traced:
        before = len(self._store.messages) if cursor is None else int(cursor)
        found: list[Life] = []
        looked = 0
        reached = None
        for number in reversed(range(before)):
            message = self._store.messages[number]
            looked, reached = looked + 1, message.envelope.arrived_at
            if self._fits(message, query, since):
                found.append(self._life(message))
            if len(found) == limit:
                break
            if not seconds:
                return Traced(tuple(found), str(number), looked, reached)
        return Traced(tuple(found), None, looked, reached)

    def _life(self, message: Any) -> Life:
        envelope = message.envelope
        client = envelope.client
        first = {EventKind.ACCEPTED, EventKind.EXPANDED, EventKind.STORED, EventKind.QUEUED}
        beginning = [one for one in message.happenings if one.kind in first]
        told = [one for one in message.happenings if one.kind not in first]
        for other in self._store.messages:
            if other.cause == message.queue_id:
                to = str(other.envelope.recipients[0].forward_path)
                told.append(Happening(other.envelope.arrived_at, EventKind.NOTICE, to, detail=other.queue_id))
        return Life(
            message.queue_id,
            envelope.arrived_at,
            None if envelope.reverse_path is None else str(envelope.reverse_path),
            envelope.message_id,
            len(message.body),
            None
            if client is None
            else {
                "session": client.session,
                "ip": client.ip,
                "helo": client.helo,
                "protocol": client.protocol,
                "tls": client.tls,
                "account": None if client.account is None else str(client.account),
            },
            message.cause,
            tuple(str(recipient.forward_path) for recipient in envelope.recipients),
            (*beginning, *sorted(told, key=lambda one: one.at)),
            sum(row.message is message for row in self._store.waiting),
            sum(row.message is message for rows in self._store.drops.values() for row in rows),
        )


@implementer(IVerification)
class MemoryVerification:
    """What lies in memory is well; it is counted all the same."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def check(self, cursor: str | None, seconds: float) -> Checked:
        store = self._store
        by_end: Counter[str] = Counter(fate.value for message in store.messages for fate in message.ended.values())
        alive = [row.message for rows in store.drops.values() for row in rows]
        by_end["maildrop"] += len(alive)
        by_end["queue"] += len(store.waiting)
        alive += [row.message for row in store.waiting]
        octets = sum(len(message.body) for message in store.messages if any(message is one for one in alive))
        return Checked(None, len(store.messages), octets, {k: v for k, v in by_end.items() if v}, ())
