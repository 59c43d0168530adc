"""Access tokens in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from zope.interface import implementer

from emailsys.interfaces.operators import (
    MAX_TOKENS,
    AdminError,
    ITokens,
    TokenRequest,
    TokenRow,
    scope_problem,
)
from emailsys.mail.address import Address

if TYPE_CHECKING:
    from tests.fakes.store.memory_accounts import MemoryAccounts


@implementer(ITokens)
class MemoryTokens:
    """The tokens. Those of accounts that were removed are gone."""

    def __init__(self, accounts: Callable[[], MemoryAccounts], now: Callable[[], datetime]) -> None:
        self._accounts = accounts
        self._now = now
        self._rows: dict[str, tuple[TokenRow, bytes]] = {}

    async def add(self, token: TokenRequest) -> TokenRow:
        problem = scope_problem(token.address, token.scopes)
        if problem is not None:
            raise AdminError(problem)
        account = await self._account(token.address)
        if len(await self._of(token.address)) >= MAX_TOKENS:
            raise AdminError(f"there are {MAX_TOKENS} tokens already")
        if token.token_id in self._rows:
            raise AdminError(f"there is a token {token.token_id} already")
        row = TokenRow(
            token.token_id,
            account,
            token.address,
            True,
            token.scopes,
            token.label,
            self._now(),
            token.expires_at,
        )
        self._rows[token.token_id] = row, token.digest
        return self._current(row)

    async def list_tokens(self, address: Address | None = None) -> Sequence[TokenRow]:
        await self._account(address)
        return await self._of(address) if address is not None else self._all()

    async def remove(self, token_id: str) -> TokenRow:
        found = await self.find(token_id)
        if found is None:
            raise AdminError(f"there is no token {token_id}")
        del self._rows[token_id]
        return found[0]

    async def find(self, token_id: str) -> tuple[TokenRow, bytes] | None:
        rows = {row.token_id: row for row in self._all()}
        return (rows[token_id], self._rows[token_id][1]) if token_id in rows else None

    def _all(self) -> list[TokenRow]:
        return [
            self._current(row)
            for row, _ in self._rows.values()
            if row.account_id is None or self._accounts().has_account(row.account_id)
        ]

    async def _of(self, address: Address | None) -> list[TokenRow]:
        account_id = await self._account(address)
        return [row for row in self._all() if row.account_id == account_id]

    async def _account(self, address: Address | None) -> int | None:
        if address is None:
            return None
        for login in self._accounts().logins():
            if login.account.address.key == address.key:
                return login.account.account_id
        raise AdminError(f"there is no user {address}")

    def _current(self, row: TokenRow) -> TokenRow:
        """The row with the present state of its account."""
        for login in self._accounts().logins():
            if login.account.account_id == row.account_id:
                return TokenRow(
                    row.token_id,
                    row.account_id,
                    login.account.address,
                    login.account.enabled,
                    row.scopes,
                    row.label,
                    row.created_at,
                    row.expires_at,
                )
        return row
