"""Access tokens of the HTTP API: administration, and the look-up at each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select
from zope.interface import implementer

from emailsys.interfaces.operators import (
    MAX_TOKENS,
    AdminError,
    ITokens,
    Scope,
    TokenRequest,
    TokenRow,
    scope_problem,
)
from emailsys.mail.address import Address
from emailsys.store.directory.changes import Changes, find_account
from emailsys.store.schema.columns import microseconds, moment, of_seconds
from emailsys.store.schema.tables import accounts, tokens


@implementer(ITokens)
class Tokens:
    """The tokens of all accounts and of the operators. No cache keeps them, so a removed token is refused at once."""

    def __init__(self, changes: Changes, now: Callable[[], float]) -> None:
        """@param now: seconds since 1970."""
        self._changes = changes
        self._now = now

    async def add(self, token: TokenRequest) -> TokenRow:
        """Add a token."""
        problem = scope_problem(token.address, token.scopes)
        if problem is not None:
            raise AdminError(problem)

        def add(connection: Connection) -> TokenRow:
            account_id = None if token.address is None else _account_id(connection, token.address)
            owned = select(func.count()).where(_of(account_id))
            if connection.execute(owned).scalar_one() >= MAX_TOKENS:
                raise AdminError(f"there are {MAX_TOKENS} tokens already. Remove those that are not used any more.")
            if connection.execute(_selected().where(tokens.c.token_id == token.token_id)).first() is not None:
                raise AdminError(f"there is a token {token.token_id} already")
            connection.execute(
                insert(tokens).values(
                    token_id=token.token_id,
                    account_id=account_id,
                    digest=token.digest,
                    scopes=" ".join(sorted(scope.value for scope in token.scopes)),
                    label=token.label,
                    created_at=of_seconds(self._now()),
                    expires_at=None if token.expires_at is None else microseconds(token.expires_at),
                )
            )
            return _known(connection, token.token_id)

        return await self._changes.run("add-token", add)

    async def list_tokens(self, address: Address | None = None) -> Sequence[TokenRow]:
        """Return the tokens of an account, or all tokens, the oldest first."""

        def read(connection: Connection) -> Sequence[TokenRow]:
            asked = _selected().order_by(tokens.c.created_at, tokens.c.token_id)
            if address is not None:
                asked = asked.where(_of(_account_id(connection, address)))
            return [_row(found) for found in connection.execute(asked).all()]

        return await self._changes.database.read("list-tokens", read)

    async def remove(self, token_id: str) -> TokenRow:
        """Remove a token."""

        def remove(connection: Connection) -> TokenRow:
            row = _known(connection, token_id)
            connection.execute(delete(tokens).where(tokens.c.token_id == token_id))
            return row

        return await self._changes.run("remove-token", remove)

    async def find(self, token_id: str) -> tuple[TokenRow, bytes] | None:
        """Return a token and the digest of its secret, or None."""
        asked = _selected().where(tokens.c.token_id == token_id)
        found = await self._changes.database.read(
            "find-token", lambda connection: connection.execute(asked).one_or_none()
        )
        return None if found is None else (_row(found), bytes(found.digest))


def delete_tokens(connection: Connection, account_id: int) -> None:
    """Delete the tokens of an account."""
    connection.execute(delete(tokens).where(tokens.c.account_id == account_id))


def _selected() -> Select[Any]:
    return select(tokens, accounts.c.local, accounts.c.domain, accounts.c.enabled).outerjoin(
        accounts, accounts.c.account_id == tokens.c.account_id
    )


def _of(account_id: int | None) -> Any:
    return tokens.c.account_id.is_(None) if account_id is None else tokens.c.account_id == account_id


def _account_id(connection: Connection, address: Address) -> int:
    account = find_account(connection, address)
    if account is None:
        raise AdminError(f"there is no user {address}")
    return int(account.account_id)


def _known(connection: Connection, token_id: str) -> TokenRow:
    found = connection.execute(_selected().where(tokens.c.token_id == token_id)).one_or_none()
    if found is None:
        raise AdminError(f"there is no token {token_id}")
    return _row(found)


def _row(found: Any) -> TokenRow:
    is_of_account = found.account_id is not None
    return TokenRow(
        str(found.token_id),
        int(found.account_id) if is_of_account else None,
        Address(found.local, found.domain) if is_of_account else None,
        bool(found.enabled) if is_of_account else True,
        frozenset(map(Scope, found.scopes.split())),
        found.label,
        moment(found.created_at),
        None if found.expires_at is None else moment(found.expires_at),
    )
