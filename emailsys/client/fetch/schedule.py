"""Schedule of automatic fetches: each account every few minutes, and less often if it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from emailsys.client.accounts.values import Account, SecretKind
from emailsys.client.fetch.values import FetchResult

# Seconds of the longest wait after failures, unless the account waits longer anyway.
_MAX_WAIT: Final = 3600.0


class FetchSchedule:
    """When each account is fetched next. After each failure of an account its wait doubles, up to an hour."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """@param seconds: a monotonic clock."""
        self._seconds = seconds
        self._due_at: dict[str, float] = {}
        self._waits: dict[str, float] = {}
        # The sentences of the last fetch of each account, which are not told again.
        self._told: dict[str, frozenset[str]] = {}
        # Accounts whose passwords are typed: they are fetched after the user has fetched once.
        self._unlocked: set[str] = set()

    def due(self, accounts: Iterable[Account]) -> list[Account]:
        """Return the accounts that are due."""
        now = self._seconds()
        return [one for one in accounts if self._is_automatic(one) and self._due_at.get(one.name, now) <= now]

    def next_in(self, accounts: Iterable[Account]) -> float | None:
        """Return the seconds until the next fetch; None if no account is fetched automatically."""
        now = self._seconds()
        waits = [self._due_at.get(one.name, now) - now for one in accounts if self._is_automatic(one)]
        return max(min(waits), 0.0) if waits else None

    def fetched(self, account: Account, result: FetchResult) -> list[str]:
        """Record a fetch. Return the sentences about it that the user has not been told yet."""
        every = account.fetch_every * 60.0
        if result.problem is None:
            self._unlocked.add(account.name)
            wait = every
        else:
            self._unlocked.discard(account.name)
            wait = max(every, min(2 * self._waits.get(account.name, every), _MAX_WAIT))
        self._waits[account.name] = wait
        self._due_at[account.name] = self._seconds() + wait
        words = [*result.notes, *([result.problem] if result.problem is not None else [])]
        told, self._told[account.name] = self._told.get(account.name, frozenset()), frozenset(words)
        return [one for one in words if one not in told]

    def _is_automatic(self, account: Account) -> bool:
        if account.pop3 is None or not account.fetch_every:
            return False
        return account.pop3.secret.kind is not SecretKind.PROMPT or account.name in self._unlocked
