"""Handlers of the commands for access tokens of the HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from emailsys.control import requests
from emailsys.control.long_answers import in_slices
from emailsys.control.request_values import MalformedRequest, time_field
from emailsys.control.store_access import Handlers, Hooks, StoreAccess
from emailsys.interfaces.operators import TokenRequest, TokenRow


async def _add_token(request: requests.TokenAdd, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    expires_at = None
    if request.lifetime:
        try:
            expires_at = datetime.now(UTC) + timedelta(seconds=request.lifetime)
        except OverflowError:
            raise MalformedRequest(f"lifetime: found {request.lifetime}; allowed: an end before year 10000") from None
    token = TokenRequest(
        request.token_id, bytes.fromhex(request.digest), request.address, request.scopes, request.label, expires_at
    )
    return _token_fields(await store.tokens.add(token))


async def _list_tokens(request: requests.TokenList, store: StoreAccess, hooks: Hooks) -> list[dict[str, Any]]:
    return await in_slices(await store.tokens.list_tokens(request.address), _token_fields, hooks.turn)


async def _remove_token(request: requests.TokenRemove, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    return _token_fields(await store.tokens.remove(request.token_id))


def _token_fields(row: TokenRow) -> dict[str, Any]:
    return {
        "token": row.token_id,
        "account": None if row.address is None else str(row.address),
        "scopes": sorted(scope.value for scope in row.scopes),
        "label": row.label,
        "created": time_field(row.created_at),
        "expires": time_field(row.expires_at),
        "valid": row.is_enabled and not row.has_expired(datetime.now(UTC)),
    }


TOKEN_HANDLERS: Final[Handlers] = {
    requests.TokenAdd: _add_token,
    requests.TokenList: _list_tokens,
    requests.TokenRemove: _remove_token,
}
