"""The directory as a whole, in memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from zope.interface import implementer

from emailsys.interfaces.operators.declaration import (
    AccountState,
    DirectoryAccess,
    DirectoryState,
    DomainState,
    IDeclaration,
)
from emailsys.mail.address import domain_key

T = TypeVar("T")


@implementer(IDeclaration)
class MemoryDeclaration:
    """Reads a MemoryStore, and restores its dictionaries if a change fails."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def read(self) -> DirectoryState:
        accounts = self._store.accounts
        return DirectoryState(
            [
                DomainState(row.name, row.postmaster, accounts.domain_quotas.get(domain_key(row.name)) or None)
                for row in await accounts.list_domains()
            ],
            [
                AccountState(
                    row.address,
                    (await accounts.find_login(row.address.key)).credentials,
                    row.enabled,
                    accounts.quotas.get(row.address.key),
                    row.forward,
                    await accounts.senders(row.address),
                )
                for row in await accounts.list_users(None)
            ],
            await self._store.aliases.list_aliases(None),
            await self._store.routes.routes(),
        )

    async def change(self, action: Callable[[DirectoryAccess], Coroutine[Any, Any, T]]) -> T:
        parts = (self._store.accounts, self._store.routes)
        before = [
            (each, key, dict(value)) for each in parts for key, value in vars(each).items() if isinstance(value, dict)
        ]
        try:
            return await action(self._store)
        except Exception:
            for each, key, value in before:
                if key != "_drops":
                    setattr(each, key, value)
            raise
