"""Record of the networks from which accounts log in: kept in the store, and written some time after the logins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from emailsys.interfaces import IKnownNetworks, KnownNetwork, StoreError
from emailsys.policy.decaying_counters import MAX_KEYS
from emailsys.telemetry import Telemetry

# Days after which a network that its account has not used is no longer known.
KEPT_DAYS: Final = 90
# Seconds until a login is written, so that many are written together.
_WRITE_AFTER: Final = 60.0
_DAY: Final = 86_400

# An account and a network from which it has logged in.
Pair = tuple[int, str]


class LoginRecord:
    """Writes each network of an account once a day. A login never waits for the store.

    The store keeps at most MAX_KEYS networks, those that were used last.
    """

    def __init__(
        self, networks: IKnownNetworks, clock: IReactorTime, now: Callable[[], datetime], telemetry: Telemetry
    ) -> None:
        """@param now: returns the wall clock with its time zone."""
        self._networks = networks
        self._clock = clock
        self._now = now
        self._telemetry = telemetry
        # The pairs of this day that are written, or wait for it.
        self._day = 0
        self._noted: set[Pair] = set()
        self._unwritten: dict[Pair, int] = {}
        self._write_call: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None

    async def load(self) -> Sequence[Pair]:
        """Delete networks that are no longer known, and return the others, the longest unused first.

        @raise StoreError: the store cannot be read now.
        """
        await self._networks.prune(self._today() - KEPT_DAYS, MAX_KEYS)
        return [(known.account_id, known.network) for known in await self._networks.load(MAX_KEYS)]

    def note(self, pair: Pair) -> None:
        """Note a login with the right password."""
        today = self._today()
        if today != self._day or len(self._noted) >= MAX_KEYS:
            self._day = today
            self._noted.clear()
        if pair not in self._noted:
            self._noted.add(pair)
            self._unwritten[pair] = today
            self._write_later()

    async def stop(self) -> None:
        """Write what is not in the store yet."""
        if self._write_call is not None:
            self._write_call.cancel()
            self._write_call = None
        if self._writing is not None:
            await self._writing
        await self._begin_write()

    def _today(self) -> int:
        return int(self._now().timestamp()) // _DAY

    def _write_later(self) -> None:
        if self._write_call is None:
            self._write_call = self._clock.callLater(_WRITE_AFTER, self._begin_write)

    def _begin_write(self) -> Deferred[None]:
        self._write_call = None
        self._writing = writing = Deferred.fromCoroutine(self._write())
        return writing.addErrback(lambda failure: self._telemetry.exception("known-networks-exception", failure))

    async def _write(self) -> None:
        unwritten, self._unwritten = self._unwritten, {}
        if not unwritten:
            return
        try:
            await self._networks.note([KnownNetwork(*pair, day) for pair, day in unwritten.items()])
        except StoreError:
            if len(unwritten) + len(self._unwritten) <= MAX_KEYS:
                self._unwritten = {**unwritten, **self._unwritten}
                self._write_later()
