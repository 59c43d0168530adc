"""Quotas: the octets of mail in maildrops against their limits, counted at intervals and updated in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select, update
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.interfaces import StoreError
from emailsys.interfaces.operators import WARN_AT, AdminError, IQuotas, Usage
from emailsys.mail.address import Address, domain_key
from emailsys.store.commit.database import Reactor
from emailsys.store.directory.changes import Changes, find_domain
from emailsys.store.directory.quota_warnings import QuotaWarnings
from emailsys.store.schema.rows import MaildropRow
from emailsys.store.schema.tables import accounts, domains, maildrop
from emailsys.telemetry import Telemetry

# Seconds after which a maildrop is counted again, because other nodes or its owner may have changed it. Counting takes
# at most a fiftieth of one thread: a domain with a million messages is counted less often.
_COUNT_EVERY: Final = 5.0
_COUNT_SHARE: Final = 50.0
# Accounts in memory. Beyond this number, all are dropped.
_REMEMBERED: Final = 10_000
_NO_QUOTA: Final = Usage(0, 0)


@dataclass(slots=True)
class _Counted:
    """The count of an account or a domain. `at` is its time."""

    at: float
    name: str
    octets: int
    limit: int
    # Whether a warning was sent.
    warned: bool = False
    # Only for accounts.
    domain_id: int = 0
    address: Address | None = None
    # Seconds for which the count is valid.
    lasts: float = _COUNT_EVERY

    @property
    def usage(self) -> Usage:
        return Usage(self.octets, self.limit) if self.limit else _NO_QUOTA


@implementer(IQuotas)
class Quotas:
    """Soft limits on maildrops: the message that exceeds a limit is still accepted."""

    def __init__(
        self,
        changes: Changes,
        reactor: Reactor,
        telemetry: Telemetry,
        default: int,
        warnings: QuotaWarnings,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        @param default: limit in octets for accounts without their own limit. 0: no limit.
        @param clock: a monotonic clock, in seconds, for the duration of counting.
        """
        self._clock = clock
        self._warnings = warnings
        # Warnings in progress.
        self.pending_warnings: set[Deferred[None]] = set()
        self._changes = changes
        self._reactor = reactor
        self._telemetry = telemetry
        #: May be replaced at any time.
        self.default = default
        #: Called with accounts and octets after mail was delivered here to maildrops with quotas.
        self.tell: Callable[[Sequence[tuple[int, int]]], None] | None = None
        self._accounts: dict[int, _Counted] = {}
        self._domains: dict[int, _Counted] = {}

    async def usage(self, account_id: int) -> tuple[Usage, Usage]:
        """Return the usage of an account and of its domain."""
        now = self._reactor.seconds()
        account = self._accounts.get(account_id)
        domain = None if account is None else self._domains.get(account.domain_id)
        if (
            account is not None
            and domain is not None
            and now - account.at < account.lasts
            and now - domain.at < domain.lasts
        ):
            return account.usage, domain.usage
        counted, of_domain = await self._changes.database.read(
            "usage", lambda connection: self._count(connection, account_id, now)
        )
        self._remember(self._accounts, account_id, counted)
        self._remember(self._domains, counted.domain_id, of_domain)
        return counted.usage, of_domain.usage

    def _remember(self, known: dict[int, _Counted], number: int, counted: _Counted) -> None:
        before = known.get(number)
        if before is not None:
            counted.warned = before.warned
        if len(known) >= _REMEMBERED:
            known.clear()
        known[number] = counted
        self._check_threshold(number, counted)

    def _check_threshold(self, number: int, counted: _Counted) -> None:
        """Log and send a warning, once each time the usage passes the threshold."""
        full = counted.usage.share >= WARN_AT
        if full == counted.warned:
            return
        counted.warned = full
        if full:
            self._telemetry.event("quota-nearly-full", of=counted.name, octets=counted.octets, limit=counted.limit)
        warning = Deferred.fromCoroutine(self._send_warning(number, counted, counted.usage, full))
        self.pending_warnings.add(warning)
        _ = warning.addBoth(lambda _: self.pending_warnings.discard(warning))

    async def _send_warning(self, number: int, counted: _Counted, usage: Usage, full: bool) -> None:
        address = counted.address
        try:
            if await (
                self._warnings.set_domain_nearly_full(number, counted.name, usage, full)
                if address is None
                else self._warnings.set_nearly_full(number, address, usage, full)
            ):
                self._telemetry.event("quota-warned", of=counted.name)
        except StoreError as error:
            self._telemetry.event("quota-warning-postponed", of=counted.name, error=str(error))
            # The count may have been replaced.
            latest = (self._domains if address is None else self._accounts).get(number)
            if latest is not None:
                latest.warned = not full
        except Exception:
            self._telemetry.exception("quota-warning-exception", Failure())

    def count_delivered(self, rows: Sequence[MaildropRow]) -> None:
        """Add committed maildrop rows to the counts."""
        if not self._accounts:
            return
        limited = []
        for row in rows:
            counted = self._add(row.account_id, row.octets)
            for number, each in counted:
                self._check_threshold(number, each)
            if counted:
                limited.append((row.account_id, row.octets))
        if limited and self.tell is not None:
            self.tell(limited)

    def count_elsewhere(self, delivered: Iterable[tuple[int, int]]) -> None:
        """Add what another process has delivered, by account. It has checked the thresholds."""
        for account_id, octets in delivered:
            self._add(account_id, octets)

    def _add(self, account_id: int, octets: int) -> list[tuple[int, _Counted]]:
        """Add octets to the counts of an account and of its domain. Returns those that have limits, and their ids."""
        account = self._accounts.get(account_id)
        if account is None:
            return []
        counted = [(account_id, account)]
        domain = self._domains.get(account.domain_id)
        if domain is not None:
            counted.append((account.domain_id, domain))
        for _, each in counted:
            each.octets += octets
        return [(number, each) for number, each in counted if each.limit]

    def _count(self, connection: Connection, account_id: int, now: float) -> tuple[_Counted, _Counted]:
        found = connection.execute(
            select(
                accounts.c.local,
                accounts.c.domain,
                accounts.c.quota,
                accounts.c.quota_warned,
                accounts.c.domain_id,
                domains.c.name,
                domains.c.quota.label("domain_quota"),
                domains.c.quota_warned.label("domain_warned"),
            )
            .join(domains, domains.c.domain_id == accounts.c.domain_id)
            .where(accounts.c.account_id == account_id)
        ).one_or_none()
        if found is None:
            return _Counted(now, "", 0, 0), _Counted(now, "", 0, 0)
        limit, bound = self.limit_of(found.quota), found.domain_quota or 0
        began = self._clock()
        account_octets = _octets(connection, maildrop.c.account_id == account_id) if limit else 0
        of_domain = select(accounts.c.account_id).where(accounts.c.domain_id == found.domain_id)
        domain_octets = _octets(connection, maildrop.c.account_id.in_(of_domain)) if bound else 0
        lasts = max(_COUNT_EVERY, (self._clock() - began) * _COUNT_SHARE)
        address = Address(found.local, found.domain)
        return (
            _Counted(
                now, str(address), account_octets, limit, bool(found.quota_warned), found.domain_id, address, lasts
            ),
            _Counted(now, found.name, domain_octets, bound, bool(found.domain_warned), lasts=lasts),
        )

    def limit_of(self, own: int | None) -> int:
        """Return the limit of an account: its own, or the default."""
        return self.default if own is None else int(own)

    async def set_quota(self, address: Address | str, octets: int | None) -> None:
        """Set the limit of an account or of a domain. None: the default for an account, no limit for a domain."""

        await self._changes.run("set-quota", lambda connection: put_quota(connection, address, octets))
        self.forget()

    def forget(self) -> None:
        """Count everything again, because quotas have changed."""
        self._accounts.clear()
        self._domains.clear()


def put_quota(connection: Connection, address: Address | str, octets: int | None) -> None:
    """Set the limit of an account or of a domain, within a transaction.

    @raise AdminError: there is no such account or domain.
    """
    if isinstance(address, str):
        domain_id = find_domain(connection, domain_key(address))
        if domain_id is None:
            raise AdminError(f"there is no domain {address}")
        connection.execute(update(domains).where(domains.c.domain_id == domain_id).values(quota=octets))
        return
    local_key, key = address.key
    here = (accounts.c.domain_id == find_domain(connection, key)) & (accounts.c.local_key == local_key)
    if not connection.execute(update(accounts).where(here).values(quota=octets)).rowcount:
        raise AdminError(f"there is no user {address}")


def _octets(connection: Connection, which: Any) -> int:
    return int(connection.execute(select(func.coalesce(func.sum(maildrop.c.octets), 0)).where(which)).scalar_one())
