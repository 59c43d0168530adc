"""Known networks of accounts, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from emailsys.interfaces import IKnownNetworks, KnownNetwork


@implementer(IKnownNetworks)
class MemoryKnownNetworks:
    """The networks. `fails` makes the next call raise."""

    def __init__(self) -> None:
        self.days: dict[tuple[int, str], int] = {}
        self.fails: Exception | None = None
        self._watchers: list[Callable[[int], None]] = []
        self._removed: set[int] = set()

    async def load(self, most: int) -> Sequence[KnownNetwork]:
        self._fail()
        return [KnownNetwork(*pair, day) for pair, day in self._newest_first()[:most]][::-1]

    async def note(self, logins: Sequence[KnownNetwork]) -> None:
        self._fail()
        for login in logins:
            pair = login.account_id, login.network
            if login.account_id not in self._removed:
                self.days[pair] = max(login.day, self.days.get(pair, login.day))

    async def prune(self, today: int, kept_days: int, most: int) -> None:
        self._fail()
        self.days = {pair: min(day, today) for pair, day in self._newest_first()[:most]}
        kept = {pair: day for pair, day in self.days.items() if day >= today - kept_days}
        self.days = kept or self.days

    def call_when_forgotten(self, forgotten: Callable[[int], None]) -> None:
        self._watchers.append(forgotten)

    def drop(self, account_id: int, is_removed: bool) -> None:
        """Delete the networks of an account that is removed, or gets another password."""
        self.days = {pair: day for pair, day in self.days.items() if pair[0] != account_id}
        if is_removed:
            self._removed.add(account_id)
        for watcher in self._watchers:
            watcher(account_id)

    def _fail(self) -> None:
        error, self.fails = self.fails, None
        if error is not None:
            raise error

    def _newest_first(self) -> list[tuple[tuple[int, str], int]]:
        return sorted(self.days.items(), key=lambda item: (-item[1], item[0]))
