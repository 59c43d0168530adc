"""The tables of the store, the same on SQLite and PostgreSQL.

Times are microseconds since 1970, UTC. Ids are 63-bit numbers of `ids`; a message bears the id of its body.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

# The alembic revision of these tables; a store at this revision is opened without importing alembic.
REVISION: Final = "0001"

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


# SQLite keeps rows under the key itself only where its type is the very word INTEGER (64 bits there).
Key: Final = BigInteger().with_variant(Integer(), "sqlite")


def _id(name: str) -> Column[int]:
    """A primary key of our own making."""
    return Column(name, Key, primary_key=True, autoincrement=False)


# Bumped by every administrative write; caches compare it. One row, `singleton` is 1.
generation: Final = Table(
    "generation",
    metadata,
    Column("singleton", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    CheckConstraint("singleton = 1", name="one_row"),
)

# The last id that a writer of a node had made when it committed, in that same commit: a restarted node goes on above
# it although the clock went back, and a commit in doubt is looked up by it.
commits: Final = Table(
    "commits",
    metadata,
    Column("node", SmallInteger, nullable=False),
    Column("writer", SmallInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("node", "writer"),
)

domains: Final = Table(
    "domains",
    metadata,
    _id("domain_id"),
    # Lower-case A-labels.
    Column("domain_key", Text, nullable=False, unique=True),
    # As it was typed.
    Column("name", Text, nullable=False),
)

accounts: Final = Table(
    "accounts",
    metadata,
    _id("account_id"),
    Column("domain_id", BigInteger, ForeignKey("domains.domain_id"), nullable=False),
    Column("local_key", Text, nullable=False),
    Column("local", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    # PostgreSQL: the number of the last lock of the maildrop; a session that holds an older one deletes nothing.
    Column("fence", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("domain_id", "local_key"),
)

credentials: Final = Table(
    "credentials",
    metadata,
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), nullable=False),
    Column("scheme", Text, nullable=False),
    Column("secret", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "scheme"),
)

# What an account receives: its own name and its aliases. An alias whose target has no account yet has none either.
addresses: Final = Table(
    "addresses",
    metadata,
    Column("domain_id", BigInteger, ForeignKey("domains.domain_id"), nullable=False),
    Column("local_key", Text, nullable=False),
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), index=True),
    # The target as it was typed and by key; of an account's own address, itself.
    Column("target_local", Text, nullable=False),
    Column("target_domain", Text, nullable=False),
    Column("target_local_key", Text, nullable=False),
    Column("target_domain_key", Text, nullable=False),
    PrimaryKeyConstraint("domain_id", "local_key"),
    Index("ix_addresses_target", "target_domain_key", "target_local_key"),
)

# The first piece of every body, which is all of a body up to 256 KiB.
bodies: Final = Table(
    "bodies",
    metadata,
    _id("body_id"),
    # Whether a line of the piece may begin with a dot.
    Column("dots", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

# The pieces after the first, numbered from 1.
body_pieces: Final = Table(
    "body_pieces",
    metadata,
    Column("body_id", BigInteger, ForeignKey("bodies.body_id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("dots", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("body_id", "number"),
)

# Bodies that are still coming in, and the node which receives them.
staged: Final = Table(
    "staged",
    metadata,
    Column("body_id", Key, ForeignKey("bodies.body_id"), primary_key=True, autoincrement=False),
    Column("node", SmallInteger, nullable=False),
)

messages: Final = Table(
    "messages",
    metadata,
    Column("message_id", Key, ForeignKey("bodies.body_id"), primary_key=True, autoincrement=False),
    # The null reverse-path is NULL.
    Column("reverse_local", Text),
    Column("reverse_domain", Text),
    Column("arrived_at", BigInteger, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("pieces", BigInteger, nullable=False),
    Column("body_type", Text, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
)

# One row for each account that received the message. Clustered by account, so that a snapshot is one range scan.
maildrop: Final = Table(
    "maildrop",
    metadata,
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), nullable=False),
    Column("row_id", BigInteger, nullable=False),
    Column("message_id", BigInteger, ForeignKey("messages.message_id"), nullable=False, index=True),
    # With the prefix.
    Column("octets", BigInteger, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
    # Return-Path and Delivered-To.
    Column("prefix", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account_id", "row_id"),
    sqlite_with_rowid=False,
)

# One row for each recipient on another host.
queue: Final = Table(
    "queue",
    metadata,
    _id("row_id"),
    Column("message_id", BigInteger, ForeignKey("messages.message_id"), nullable=False, index=True),
    Column("forward_local", Text, nullable=False),
    Column("forward_domain", Text, nullable=False),
    # waiting, or leased: then due_at is the end of the lease.
    Column("state", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("attempts", BigInteger, nullable=False),
    Column("lease", BigInteger),
    Column("last_reply", Text),
)

# Messages that lost a maildrop or queue row, under the id of that row: the sweeper looks whether it was the last.
reclaim: Final = Table(
    "reclaim",
    metadata,
    _id("row_id"),
    Column("message_id", BigInteger, nullable=False),
)
