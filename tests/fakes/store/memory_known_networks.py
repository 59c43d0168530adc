"""Known networks of accounts, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from emailsys.interfaces import IKnownNetworks, KnownNetwork


@implementer(IKnownNetworks)
class MemoryKnownNetworks:
    """The networks. `fails` makes the next call of `note` raise."""

    def __init__(self) -> None:
        self.days: dict[tuple[int, str], int] = {}
        self.fails: Exception | None = None

    async def load(self, most: int) -> Sequence[KnownNetwork]:
        return [KnownNetwork(*pair, day) for pair, day in self._newest_first()[:most]][::-1]

    async def note(self, logins: Sequence[KnownNetwork]) -> None:
        error, self.fails = self.fails, None
        if error is not None:
            raise error
        for login in logins:
            pair = login.account_id, login.network
            self.days[pair] = max(login.day, self.days.get(pair, login.day))

    async def prune(self, since: int, most: int) -> None:
        self.days = {pair: day for pair, day in self._newest_first()[:most] if day >= since}

    def drop(self, account_id: int) -> None:
        """Delete the networks of an account that is removed."""
        self.days = {pair: day for pair, day in self.days.items() if pair[0] != account_id}

    def _newest_first(self) -> list[tuple[tuple[int, str], int]]:
        return sorted(self.days.items(), key=lambda item: (-item[1], item[0]))
