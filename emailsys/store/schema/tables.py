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
    false,
)

# The alembic revision of these tables; a store at this revision is opened without importing alembic.
REVISION: Final = "0005"

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
    # Octets that all maildrops of its accounts may have together; NULL for no bound.
    Column("quota", BigInteger),
    # Whether its postmaster has been told that they are nearly full, and they have not been found emptier since.
    Column("quota_warned", Boolean, nullable=False, server_default=false()),
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
    # Octets that the maildrop may have; NULL for what the configuration says, 0 for no bound.
    Column("quota", BigInteger),
    # Whether its owner has been told that it is nearly full, and it has not been found emptier since.
    Column("quota_warned", Boolean, nullable=False, server_default=false()),
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

# The one table that says what an account receives and what it may send as: a row for each account's own address, which
# is its own target, and for each target of an alias. A target that is an account of this system bears its id; one
# that has no account yet, or is elsewhere, has none. An empty local part is the catch-all of its domain.
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
    # Targets of one alias in the order in which they were given, from 0.
    Column("number", SmallInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("domain_id", "local_key", "number"),
    Index("ix_addresses_target", "target_domain_key", "target_local_key"),
)

# Mail that goes to one named host, not by MX: that for a domain, that from a domain; with both empty, all of it.
routes: Final = Table(
    "routes",
    metadata,
    # Lower-case A-labels.
    Column("recipient_domain", Text, nullable=False),
    Column("sender_domain", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    # A TLSPolicy.
    Column("tls", Text, nullable=False),
    Column("implicit_tls", Boolean, nullable=False),
    Column("certificate_name", Text, nullable=False),
    # How we log in there, "" for not at all. The password is needed in the clear: the store's file is its protection.
    Column("username", Text, nullable=False),
    Column("password", Text, nullable=False),
    PrimaryKeyConstraint("recipient_domain", "sender_domain"),
)

# The first piece of every body, which is all of a body up to 256 KiB.
bodies: Final = Table(
    "bodies",
    metadata,
    _id("body_id"),
    # Whether a line of the piece may begin with a dot.
    Column("dots", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),
    # SHA-256 of the content; NULL in what release 0.1 has accepted.
    Column("digest", LargeBinary),
    # For each read: see `checksum`. NULL in what was accepted before revision 0005.
    Column("checksum", LargeBinary),
)

# The pieces after the first, numbered from 1.
body_pieces: Final = Table(
    "body_pieces",
    metadata,
    Column("body_id", BigInteger, ForeignKey("bodies.body_id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("dots", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("digest", LargeBinary),
    Column("checksum", LargeBinary),
    PrimaryKeyConstraint("body_id", "number"),
)

# Bodies that are still coming in, and the node which receives them.
staged: Final = Table(
    "staged",
    metadata,
    Column("body_id", Key, ForeignKey("bodies.body_id"), primary_key=True, autoincrement=False),
    Column("node", SmallInteger, nullable=False),
)

# One row for each message, with how it came: for `trace` and the ledger it outlives its body by the retention time.
messages: Final = Table(
    "messages",
    metadata,
    _id("message_id"),
    # The null reverse-path is NULL.
    Column("reverse_local", Text),
    Column("reverse_domain", Text),
    Column("arrived_at", BigInteger, nullable=False),
    Column("octets", BigInteger, nullable=False),
    Column("pieces", BigInteger, nullable=False),
    Column("body_type", Text, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
    # RFC 3461 §4.3, §4.4: what the sender asked of notices; NULL where it did not say.
    Column("ret", Text),
    Column("envid", Text),
    # Who brought it, a JSON object; NULL for a message of our own.
    Column("client", Text),
    # The Message-ID field; NULL where there is none. Without an index: one of such texts would touch a page of its own
    # for each message.
    Column("header_id", Text),
    # The message that this one tells of, where it is a DSN.
    Column("cause", BigInteger),
    # How many maildrop and queue rows it made that are still in the ledger: there, or in `settled`. Where it is 0, all
    # is forgotten. NULL in what release 0.1 has accepted since.
    Column("rows", BigInteger),
    # A line for each recipient: its row ids separated by commas, a blank, the forward-path; then, each after a tab,
    # where else an alias has sent it.
    Column("recipients", Text),
)
Index(
    "ix_messages_cause",
    messages.c.cause,
    sqlite_where=messages.c.cause.is_not(None),
    postgresql_where=messages.c.cause.is_not(None),
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

# When a row is due that is not to be sent: year 9999, which is no date of a schedule.
NEVER: Final = 253_370_764_800_000_000

# One row for each recipient on another host.
queue: Final = Table(
    "queue",
    metadata,
    _id("row_id"),
    Column("message_id", BigInteger, ForeignKey("messages.message_id"), nullable=False, index=True),
    Column("forward_local", Text, nullable=False),
    Column("forward_domain", Text, nullable=False),
    # waiting; leased: due_at is the end of the lease; holding: leased, held when the attempt ends; held: due at NEVER.
    Column("state", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("attempts", BigInteger, nullable=False),
    Column("lease", BigInteger),
    Column("last_reply", Text),
    # The host that gave the last reply.
    Column("last_remote", Text),
    # Whether the sender has been told of the delay.
    Column("warned", Boolean, nullable=False, server_default=false()),
    # Whether an alias of ours sent it on.
    Column("forwarded", Boolean, nullable=False, server_default=false()),
    # RFC 3461 §4.1, §4.2: the values of NOTIFY and ORCPT; NULL where the sender did not say.
    Column("notify", Text),
    Column("orcpt", Text),
)
# Who holds leases: at a start those of the dead are given back.
Index(
    "ix_queue_lease",
    queue.c.lease,
    sqlite_where=queue.c.lease.is_not(None),
    postgresql_where=queue.c.lease.is_not(None),
)

# Where maildrop and queue rows have ended, each under its own id: the ledger's other side.
settled: Final = Table(
    "settled",
    metadata,
    _id("row_id"),
    Column("message_id", BigInteger, nullable=False, index=True),
    Column("settled_at", BigInteger, nullable=False, index=True),
    # A Fate.
    Column("fate", Text, nullable=False),
    # The forward-path of a queue row.
    Column("recipient", Text),
    # Of a queue row.
    Column("attempts", BigInteger),
    Column("reply", Text),
    Column("remote", Text),
    Column("in_doubt", Boolean, nullable=False, server_default=false()),
)

# What happened to messages between their arrival and their end.
events: Final = Table(
    "events",
    metadata,
    _id("event_id"),
    Column("message_id", BigInteger, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    # An EventKind.
    Column("kind", Text, nullable=False),
    # The maildrop or queue row that it is about.
    Column("row_id", BigInteger),
    Column("recipient", Text),
    Column("reply", Text),
    Column("remote", Text),
    Column("in_doubt", Boolean, nullable=False, server_default=false()),
)

# Messages that lost a maildrop or queue row, under the id of that row: the sweeper looks whether it was the last.
reclaim: Final = Table(
    "reclaim",
    metadata,
    _id("row_id"),
    Column("message_id", BigInteger, nullable=False),
)
