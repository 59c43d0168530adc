"""How much mail accounts and domains keep, against what they may: counted now and then, added to in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select, update
from zope.interface import implementer

from emailsys.interfaces import AdminError
from emailsys.mail.address import Address, domain_key
from emailsys.operations import IQuotas, Usage
from emailsys.store.changes import Changes, find_domain
from emailsys.store.database import Reactor
from emailsys.store.schema import accounts, domains, maildrop
from emailsys.telemetry import Telemetry

# Seconds after which a maildrop is counted anew: others may have delivered to it, its owner may have emptied it.
_COUNT_EVERY: Final = 5.0
# Accounts remembered; past that all are forgotten.
_REMEMBERED: Final = 10_000
# The share of its bound from which on an account is warned of.
WARN_AT: Final = 0.9


@dataclass(slots=True)
class _Counted:
    at: float
    address: str
    domain: str
    account: Usage
    whole_domain: Usage
    warned: bool = False


@implementer(IQuotas)
class Quotas:
    """Bounds on maildrops, kept softly: the message that fills one is still taken."""

    def __init__(self, changes: Changes, reactor: Reactor, telemetry: Telemetry, default: int) -> None:
        """
        @param default: octets for accounts that have no bound of their own; 0 for none.
        """
        self._changes = changes
        self._reactor = reactor
        self._telemetry = telemetry
        self._default = default
        self._counted: dict[int, _Counted] = {}

    async def usage(self, account_id: int) -> tuple[Usage, Usage]:
        """Of the account and of its domain."""
        known = self._counted.get(account_id)
        now = self._reactor.seconds()
        if known is None or now - known.at >= _COUNT_EVERY:
            counted = await self._changes.database.read("usage", lambda connection: self._count(connection, account_id))
            counted.at = now
            counted.warned = known is not None and known.warned
            if len(self._counted) >= _REMEMBERED:
                self._counted.clear()
            self._counted[account_id] = known = counted
            self._warn(known)
        return known.account, known.whole_domain

    def _warn(self, counted: _Counted) -> None:
        """Tell the log once for each time that the share is passed."""
        full = max(counted.account.share, counted.whole_domain.share) >= WARN_AT
        if full and not counted.warned:
            of_domain = counted.whole_domain.share > counted.account.share
            usage = counted.whole_domain if of_domain else counted.account
            name = counted.domain if of_domain else counted.address
            self._telemetry.event("quota-nearly-full", of=name, octets=usage.octets, limit=usage.limit)
        counted.warned = full

    def _count(self, connection: Connection, account_id: int) -> _Counted:
        found = connection.execute(
            select(
                accounts.c.local,
                accounts.c.domain,
                accounts.c.quota,
                accounts.c.domain_id,
                domains.c.quota.label("domain_quota"),
            )
            .join(domains, domains.c.domain_id == accounts.c.domain_id)
            .where(accounts.c.account_id == account_id)
        ).one_or_none()
        if found is None:
            return _Counted(0.0, "", "", Usage(0, 0), Usage(0, 0))
        limit = self.limit_of(found.quota)
        mine = _octets(connection, maildrop.c.account_id == account_id) if limit else 0
        bound = found.domain_quota or 0
        ours = select(accounts.c.account_id).where(accounts.c.domain_id == found.domain_id)
        all_of_us = _octets(connection, maildrop.c.account_id.in_(ours)) if bound else 0
        address = str(Address(found.local, found.domain))
        return _Counted(0.0, address, found.domain, Usage(mine, limit), Usage(all_of_us, bound))

    def limit_of(self, own: int | None) -> int:
        """The bound of an account: its own, else the configuration's."""
        return self._default if own is None else int(own)

    async def set_quota(self, address: Address | str, octets: int | None) -> None:
        """Bound an account, or a domain by its name."""

        def put(connection: Connection) -> None:
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

        await self._changes.run("set-quota", put)
        self._counted.clear()


def _octets(connection: Connection, which: Any) -> int:
    return int(connection.execute(select(func.coalesce(func.sum(maildrop.c.octets), 0)).where(which)).scalar_one())
