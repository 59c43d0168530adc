"""Services of the daemon for the API and the operators' pages of the web face."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from emailsys.config.settings import Settings
from emailsys.delivery.retry_schedule import forecast
from emailsys.interfaces import Account
from emailsys.interfaces.operators.wire import IWireRecords
from emailsys.mail.address import Address
from emailsys.policy.access import Access, Delivery
from emailsys.policy.failed_logins import FailedLogins
from emailsys.policy.hashing_threads import HashingThreads
from emailsys.policy.token_check import TokenCheck
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry

if TYPE_CHECKING:
    from emailsys.web.base.services import Ask, Services

# Log events that are shown as numbers.
_COUNTED = ("accepted", "relayed", "delayed", "failed", "refused")
# The queue is counted again only after this multiple of the duration of the count: at most 5 % of a reader thread.
_COUNT_SHARE = 20.0


class Numbers:
    """The live numbers."""

    def __init__(
        self,
        telemetry: Telemetry,
        store: Store,
        count_sessions: Callable[[], Mapping[str, int]],
        uptime: Callable[[], float],
    ) -> None:
        self._telemetry, self._store = telemetry, store
        self._count_sessions, self._uptime = count_sessions, uptime
        self._queue = {"waiting": 0, "leased": 0, "held": 0}
        self._took = 0.0
        self._count_again = 0.0

    async def sample(self) -> Mapping[str, Any]:
        """Return the numbers as they are now."""
        began = time.monotonic()
        if began >= self._count_again:
            rows = await self._store.queue_operations.summary()
            self._took = time.monotonic() - began
            self._count_again = began + _COUNT_SHARE * self._took
            self._queue = {name: sum(getattr(row, name) for row in rows) for name in self._queue}
        database, counters = self._store.database, self._telemetry.counters
        activity = database.activity
        return {
            "at": round(time.time(), 3),
            "uptime": round(self._uptime(), 1),
            **{name: counters[name] for name in _COUNTED},
            **self._queue,
            "sessions": dict(self._count_sessions()),
            "commits": activity.batches,
            "committed": activity.committed,
            "commit_seconds": round(activity.seconds, 6),
            "store_ms": round(1000 * self._took, 3),
            "disk_free": database.engine.free_octets(),
        }


def web_services(
    settings: Callable[[], Settings],
    telemetry: Telemetry,
    store: Store,
    access: Access,
    hashing: HashingThreads,
    failed_logins: FailedLogins,
    wire: IWireRecords,
    ask: Ask,
    count_sessions: Callable[[], Mapping[str, int]],
    uptime: Callable[[], float],
) -> Services:
    """Return the services. Call it only if the web face is configured: it imports a part of it.

    @param settings: returns the settings in force.
    """
    from emailsys.web.base.services import Services

    async def make_credentials(password: str, address: Address) -> Sequence[tuple[str, str]]:
        return await hashing.make_new(password, [str(address)], settings().login.min_password_length)

    def delivery_of(account: Account) -> Delivery:
        return Delivery(access, account)

    def foretell(seconds: float) -> Sequence[Mapping[str, Any]]:
        began = datetime.now(UTC).replace(microsecond=0)
        steps = forecast(settings().queue, began, began + timedelta(seconds=seconds), lambda: 0.5)
        return [
            {
                "at": step.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "after": round((step.at - began).total_seconds()),
                "what": step.kind.value,
            }
            for step in steps
        ]

    tokens = TokenCheck(store.tokens, lambda: datetime.now(UTC), failed_logins)
    numbers = Numbers(telemetry, store, count_sessions, uptime)
    return Services(ask, make_credentials, tokens.check, delivery_of, numbers.sample, foretell, wire)
