"""The table of access tokens of the HTTP API."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, Table, Text

from emailsys.store.schema.metadata import metadata

# Access tokens of the HTTP API. Without an account, a token belongs to the operators.
tokens: Final = Table(
    "tokens",
    metadata,
    # Random, and part of the token.
    Column("token_id", Text, primary_key=True),
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), index=True),
    # SHA-256 of the secret part.
    Column("digest", LargeBinary, nullable=False),
    # Values of Scope, separated by blanks.
    Column("scopes", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # NULL: valid until it is removed.
    Column("expires_at", BigInteger),
)
