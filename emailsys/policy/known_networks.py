"""Record of the networks from which accounts log in: kept in the store, and written some time after the logins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from emailsys.interfaces import IKnownNetworks, KnownNetwork, PasswordId, StoreError
from emailsys.policy.decaying_counters import MAX_KEYS
from emailsys.telemetry import Telemetry

# Days after which a network that its account has not used is no longer known.
KEPT_DAYS: Final = 90
# Seconds until a login is written, so that many are written together.
_WRITE_AFTER: Final = 60.0
# Seconds until the networks are read or pruned again if the store failed.
_RETRY_AFTER: Final = 60.0
# Seconds until the networks that other nodes have written are read, if several nodes may share the store.
_READ_AGAIN_AFTER: Final = 60.0
_DAY: Final = 86_400

# A password of an account, and a network from which the account has logged in with it.
Pair = tuple[PasswordId, str]


class LoginRecord:
    """Writes each network of an account once a day, and prunes the store once a day. A login never waits for the store.

    The store keeps at most MAX_KEYS networks, the most recently used ones.
    """

    def __init__(
        self, networks: IKnownNetworks, clock: IReactorTime, now: Callable[[], datetime], telemetry: Telemetry
    ) -> None:
        """@param now: returns the wall clock with its time zone."""
        self._networks = networks
        self._clock = clock
        self._now = now
        self._telemetry = telemetry
        # Takes the networks of the store.
        self._restore: Callable[[Sequence[Pair]], None] = lambda pairs: None
        # The day from which on networks are read again; 0 before the first time.
        self._read_since = 0
        self._is_read = False
        self._prune_at = 0.0
        # The pairs of this day that are written, or wait for it.
        self._day = 0
        self._noted: set[Pair] = set()
        self._unwritten: dict[Pair, int] = {}
        self._writing: Deferred[None] | None = None
        self._write_call: IDelayedCall | None = None
        self._maintenance_call: IDelayedCall | None = None
        self._stopped = False

    def start(self, restore: Callable[[Sequence[Pair]], None]) -> None:
        """Read the networks of the store, then prune the store now and once a day. Retry while the store fails.

        If several nodes may share the store, read each minute what they have added.

        @param restore: called with the networks, the least recently used one first.
        """
        self._restore = restore
        self._maintain()

    def note(self, pair: Pair) -> None:
        """Note a login with the right password."""
        today = self._today()
        if today != self._day or len(self._noted) >= MAX_KEYS:
            self._day = today
            self._noted.clear()
        if pair not in self._noted and len(self._unwritten) < MAX_KEYS:
            self._noted.add(pair)
            self._unwritten[pair] = today
            self._write_later()

    async def stop(self) -> None:
        """Write what is not in the store yet, and begin nothing more."""
        self._stopped = True
        for call in (self._write_call, self._maintenance_call):
            if call is not None:
                call.cancel()
        self._write_call = self._maintenance_call = None
        if self._writing is not None:
            await self._writing
        await self._begin_write()

    def _today(self) -> int:
        return int(self._now().timestamp()) // _DAY

    def _maintain(self) -> None:
        self._maintenance_call = None
        maintained = Deferred.fromCoroutine(self._load_and_prune())
        _ = maintained.addErrback(self._log_exception).addCallback(self._maintain_later)

    async def _load_and_prune(self) -> float:
        """Returns the seconds until the next call."""
        try:
            if self._networks.is_shared or not self._is_read:
                await self._read()
            if self._clock.seconds() >= self._prune_at:
                await self._networks.prune(self._today(), KEPT_DAYS, MAX_KEYS)
                self._prune_at = self._clock.seconds() + _DAY
        except StoreError:
            return _RETRY_AFTER
        return _READ_AGAIN_AFTER if self._networks.is_shared else _DAY

    async def _read(self) -> None:
        """Read the networks: all of them at first, then those of this day and the day before."""
        today = self._today()
        loaded = await self._networks.load(MAX_KEYS, self._read_since)
        self._restore([((known.account_id, known.password_number), known.network) for known in loaded])
        self._is_read = True
        self._read_since = today - 1

    def _maintain_later(self, seconds: float | None) -> None:
        if not self._stopped:
            self._maintenance_call = self._clock.callLater(_DAY if seconds is None else seconds, self._maintain)

    def _write_later(self) -> None:
        if not self._stopped and self._write_call is None and self._writing is None:
            self._write_call = self._clock.callLater(_WRITE_AFTER, self._begin_write)

    def _begin_write(self) -> Deferred[None]:
        self._write_call = None
        self._writing = writing = Deferred.fromCoroutine(self._write())
        return writing.addErrback(self._log_exception).addCallback(self._written)

    def _written(self, _result: None) -> None:
        self._writing = None
        if self._unwritten:
            self._write_later()

    async def _write(self) -> None:
        unwritten, self._unwritten = self._unwritten, {}
        if not unwritten:
            return
        today = self._today()
        try:
            # The clock may have been set back since the login.
            await self._networks.note(
                [
                    KnownNetwork(account_id, network, min(day, today), password_number)
                    for ((account_id, password_number), network), day in unwritten.items()
                ]
            )
        except StoreError:
            if len(unwritten) + len(self._unwritten) <= MAX_KEYS:
                self._unwritten = {**unwritten, **self._unwritten}
            else:
                self._drop(unwritten)
        except Exception:
            self._drop(unwritten)
            raise

    def _drop(self, pairs: Iterable[Pair]) -> None:
        """Give up writing some logins. The next ones of these pairs are written again."""
        self._noted.difference_update(pairs)

    def _log_exception(self, failure: Failure) -> None:
        self._telemetry.exception("known-networks-exception", failure)
