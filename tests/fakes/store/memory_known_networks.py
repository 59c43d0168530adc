"""Known networks of accounts, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from emailsys.interfaces import IKnownNetworks, KnownNetwork, PasswordId


@implementer(IKnownNetworks)
class MemoryKnownNetworks:
    """The networks. `fails` makes the next call raise."""

    def __init__(self, is_shared: bool = False) -> None:
        self.is_shared = is_shared
        self.days: dict[tuple[PasswordId, str], int] = {}
        self.fails: Exception | None = None
        # The number of the password of each account that has another than its first; None if the account was removed.
        self._passwords: dict[int, int | None] = {}

    async def load(self, most: int, since: int = 0) -> Sequence[KnownNetwork]:
        self._fail()
        newest = [(pair, day) for pair, day in self._newest_first() if day >= since][:most]
        return [KnownNetwork(owner, network, day, number) for ((owner, number), network), day in reversed(newest)]

    async def note(self, logins: Sequence[KnownNetwork]) -> None:
        self._fail()
        for login in logins:
            pair = (login.account_id, login.password_number), login.network
            if login.password_number == self._passwords.get(login.account_id, 0):
                self.days[pair] = max(login.day, self.days.get(pair, login.day))

    async def prune(self, today: int, kept_days: int, most: int) -> None:
        self._fail()
        self.days = {pair: min(day, today) for pair, day in self._newest_first()[:most]}
        kept = {pair: day for pair, day in self.days.items() if day >= today - kept_days}
        self.days = kept or self.days

    def drop(self, account_id: int, password_number: int | None) -> None:
        """Delete the networks of an account that gets another password, or is removed."""
        self.days = {pair: day for pair, day in self.days.items() if pair[0][0] != account_id}
        self._passwords[account_id] = password_number

    def _fail(self) -> None:
        error, self.fails = self.fails, None
        if error is not None:
            raise error

    def _newest_first(self) -> list[tuple[tuple[PasswordId, str], int]]:
        return sorted(self.days.items(), key=lambda item: (-item[1], item[0]))
