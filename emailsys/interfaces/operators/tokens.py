"""Access tokens of the HTTP API, as operators administer them and policy looks them up."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from zope.interface import Interface

from emailsys.mail.address import Address

#: Tokens that one account, or all operators together, may have.
MAX_TOKENS: Final = 100


class Scope(enum.Enum):
    """The permissions of a token. Those that begin with `mail` are for accounts, the others for operators."""

    MAIL_READ = "mail:read"
    MAIL_DELETE = "mail:delete"
    MAIL_SEND = "mail:send"
    SYSTEM_READ = "system:read"
    SYSTEM_WRITE = "system:write"
    WIRE_READ = "wire:read"

    @property
    def is_of_accounts(self) -> bool:
        """Whether the scope concerns the mail of one account."""
        return self.value.startswith("mail:")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token without its secret. A token without an account belongs to the operators.

    `is_enabled` is whether its account is enabled; an operators' token always is.
    """

    token_id: str
    account_id: int | None
    address: Address | None
    is_enabled: bool
    scopes: frozenset[Scope]
    label: str
    created_at: datetime
    expires_at: datetime | None

    def has_expired(self, now: datetime) -> bool:
        """Whether the token is no longer valid."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A token that is to be added: its id, the digest of its secret, and what it permits."""

    token_id: str
    digest: bytes
    address: Address | None
    scopes: frozenset[Scope]
    label: str = ""
    expires_at: datetime | None = None


class ITokens(Interface):
    """Access tokens of accounts and operators."""

    async def add(token: TokenRequest) -> TokenRow:
        """Add a token.

        @raise AdminError: there is no such account, the id exists, there are MAX_TOKENS already, or the scopes are not
            those of an account (or of operators).
        """

    async def list_tokens(address: Address | None = None) -> Sequence[TokenRow]:
        """Return the tokens of an account, or all tokens, the oldest first.

        @raise AdminError: there is no such account.
        """

    async def remove(token_id: str) -> TokenRow:
        """Remove a token. It is refused from the next request on.

        @raise AdminError: there is no such token.
        """

    async def find(token_id: str) -> tuple[TokenRow, bytes] | None:
        """Return a token and the digest of its secret, or None if there is no such token."""


def scope_problem(address: Address | None, scopes: frozenset[Scope]) -> str | None:
    """Return why a token cannot have these scopes, or None if it can."""
    if not scopes:
        return "a token needs at least one scope"
    wrong = sorted(scope.value for scope in scopes if scope.is_of_accounts != (address is not None))
    if not wrong:
        return None
    owner = "a token of an account" if address is not None else "an operators' token"
    return f"{owner} cannot have the scope {', '.join(wrong)}"
