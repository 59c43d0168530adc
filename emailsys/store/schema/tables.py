"""The tables of the store, the same on SQLite and PostgreSQL.

Times are microseconds since 1970, UTC. Ids are 63-bit numbers from `commit.ids`. A message has the id of its body.
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
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from emailsys.store.schema.metadata import metadata as metadata
from emailsys.store.schema.metadata import partial_index
from emailsys.store.schema.token_table import tokens as tokens

# The alembic revision of these tables. A store at this revision is opened without importing alembic.
REVISION: Final = "0016"

# SQLite uses a key as the row id only if its declared type is INTEGER (64 bits in SQLite).
Key: Final = BigInteger().with_variant(Integer(), "sqlite")


def _id(name: str) -> Column[int]:
    """Return a primary key column for ids from `commit.ids`."""
    return Column(name, Key, primary_key=True, autoincrement=False)


# Incremented by every administrative write, and compared by caches. One row, `singleton` is 1.
generation: Final = Table(
    "generation",
    metadata,
    Column("singleton", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    # Random, set when the store is created (see `schema.identity`). Each copy of the store has the same.
    Column("identity", Text),
    CheckConstraint("singleton = 1", name="one_row"),
)

# The last id of each commit by node and writer, written in the same commit. A restarted node continues above it even if
# the clock went back, and a commit in doubt is looked up by it.
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
    # As the administrator typed it.
    Column("name", Text, nullable=False),
    # Octets that all maildrops of the domain may have together. NULL: no limit.
    Column("quota", BigInteger),
    # Whether the postmaster was warned that the domain is nearly full. Reset when it is emptier again.
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
    # PostgreSQL: the number of the last lock of the maildrop. A session with an older number deletes nothing.
    Column("fence", BigInteger, nullable=False, server_default="0"),
    # Octets that the maildrop may have. NULL: the default of the configuration; 0: no limit.
    Column("quota", BigInteger),
    # Whether the owner was warned that the maildrop is nearly full. Reset when it is emptier again.
    Column("quota_warned", Boolean, nullable=False, server_default=false()),
    # 0: no forward; 1: mail is forwarded, and the maildrop keeps a copy; 2: without a copy. The targets are in
    # `forwards`.
    Column("forwarding", SmallInteger, nullable=False, server_default="0"),
    # How often the password was replaced. Networks that are known by another password are unknown.
    Column("password_number", Integer, nullable=False, server_default="0"),
    UniqueConstraint("domain_id", "local_key"),
)

# Addresses to which accounts forward their mail, here or on other hosts.
forwards: Final = Table(
    "forwards",
    metadata,
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), nullable=False),
    # The position of a target, from 0.
    Column("number", SmallInteger, nullable=False),
    Column("target_local", Text, nullable=False),
    Column("target_domain", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "number"),
)

credentials: Final = Table(
    "credentials",
    metadata,
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), nullable=False),
    Column("scheme", Text, nullable=False),
    Column("secret", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "scheme"),
)

# The addresses that accounts receive for and may send from: a row for each account's own address (which is its own
# target) and for each target of an alias. `account_id` is set if the target is a local account, and NULL if it has no
# account yet or is on another host. An empty local part is the catch-all of its domain.
addresses: Final = Table(
    "addresses",
    metadata,
    Column("domain_id", BigInteger, ForeignKey("domains.domain_id"), nullable=False),
    Column("local_key", Text, nullable=False),
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), index=True),
    # The target as it was typed, and its key. The target of an account's own address is the address itself.
    Column("target_local", Text, nullable=False),
    Column("target_domain", Text, nullable=False),
    Column("target_local_key", Text, nullable=False),
    Column("target_domain_key", Text, nullable=False),
    # The position of a target in its alias, from 0.
    Column("number", SmallInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("domain_id", "local_key", "number"),
    Index("ix_addresses_target", "target_domain_key", "target_local_key"),
)

# Addresses that an account may send from besides those that it receives mail for. An empty local part stands for all
# addresses of the domain, and an empty domain, too, for all addresses.
delegated_senders: Final = Table(
    "delegated_senders",
    metadata,
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), nullable=False),
    Column("domain_key", Text, nullable=False),
    Column("local_key", Text, nullable=False),
    # As the administrator typed it.
    Column("local", Text, nullable=False),
    Column("domain", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "domain_key", "local_key"),
)

# Routes of mail to a named host instead of MX hosts, by recipient domain or sender domain. Both empty: all mail.
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
    # Login at the host, "" for none. The password must be in the clear: the permissions of the store protect it.
    Column("username", Text, nullable=False),
    Column("password", Text, nullable=False),
    # SHA-256 of the only valid certificate in hexadecimal digits, "" for none.
    Column("certificate_fingerprint", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("recipient_domain", "sender_domain"),
)

# The first piece of every body. A body up to 256 KiB has only this piece.
bodies: Final = Table(
    "bodies",
    metadata,
    _id("body_id"),
    # Whether a line of the piece may begin with a dot.
    Column("dots", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),
    # SHA-256 of the content. NULL if release 0.1 accepted the body.
    Column("digest", LargeBinary),
    # Compared at each read (see `commit.checksum`). NULL if accepted before revision 0005.
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

# Bodies that are still arriving, and the node that receives each.
staged: Final = Table(
    "staged",
    metadata,
    Column("body_id", Key, ForeignKey("bodies.body_id"), primary_key=True, autoincrement=False),
    Column("node", SmallInteger, nullable=False),
)

# One row for each message and its arrival. For `trace` and the ledger, it outlives the body by the retention time.
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
    # RET and ENVID (RFC 3461 §4.3, §4.4). NULL if the sender did not give them.
    Column("ret", Text),
    Column("envid", Text),
    # The client that sent the message, as a JSON object. NULL for notices made here.
    Column("client", Text),
    # The Message-ID field, or NULL. It has no index, because that would write one more page for each message
    # (decision 0018).
    Column("header_id", Text),
    # The message that this one reports on, if it is a DSN.
    Column("cause", BigInteger),
    # The number of its maildrop and queue rows that are still in the ledger: in their tables or in `settled`. At 0, the
    # message is deleted. NULL if release 0.1 accepted the message after the upgrade.
    Column("rows", BigInteger),
    # A line for each recipient: its row ids separated by commas, a space, the forward-path; then, each after a tab,
    # the targets of its alias on other hosts.
    Column("recipients", Text),
)
partial_index("ix_messages_cause", messages.c.cause, messages.c.cause.is_not(None))
#: Whether a message has a key of the HTTP API (`store.ledger.sent_keys`). PostgreSQL uses the index only for this text.
HAS_SENT_KEY: Final = text("client LIKE '%\"sent_key\":%'")
# Only for stores that several nodes share: each node looks for the keys of the others with each keyed message.
partial_index("ix_messages_sent_key", messages.c.message_id, HAS_SENT_KEY).ddl_if(dialect="postgresql")

# One row for each account that received the message. Clustered by account, so that a snapshot is one range scan.
maildrop: Final = Table(
    "maildrop",
    metadata,
    Column("account_id", BigInteger, ForeignKey("accounts.account_id"), nullable=False),
    Column("row_id", BigInteger, nullable=False),
    Column("message_id", BigInteger, ForeignKey("messages.message_id"), nullable=False, index=True),
    # Octets including the prefix.
    Column("octets", BigInteger, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
    # The Return-Path and Delivered-To fields.
    Column("prefix", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account_id", "row_id"),
    sqlite_with_rowid=False,
)

# `due_at` of rows that must not be sent: in the year 9999, later than any schedule.
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
    # Whether the sender was notified of the delay.
    Column("warned", Boolean, nullable=False, server_default=false()),
    # Whether a local alias forwarded the message.
    Column("forwarded", Boolean, nullable=False, server_default=false()),
    # NOTIFY and ORCPT (RFC 3461 §4.1, §4.2). NULL if the sender did not give them.
    Column("notify", Text),
    Column("orcpt", Text),
    # The time from which the age of the row counts. NULL: from the arrival of its message. Later than that if the clock
    # jumped or the daemon was down meanwhile.
    Column("aged_from", BigInteger),
)
# For finding leases of processes that have ended, which are returned at a start.
partial_index("ix_queue_lease", queue.c.lease, queue.c.lease.is_not(None))

# When the daemon looked at the clock, and for how many microseconds before that it had not. The latest row is the last
# look. Of the others, only those after a gap are kept.
clock_looks: Final = Table(
    "clock_looks",
    metadata,
    Column("at", Key, primary_key=True, autoincrement=False),
    Column("gap", BigInteger, nullable=False),
)

# Networks from which accounts have logged in, for the limits for failed logins.
known_networks: Final = Table(
    "known_networks",
    metadata,
    # Without a foreign key: a login may be written while its account is removed. Pruning deletes such rows.
    Column("account_id", BigInteger, nullable=False),
    # An IPv4 address, or a /64 network of IPv6.
    Column("network", Text, nullable=False),
    # The day of the last login, in days since 1970, UTC.
    Column("day", BigInteger, nullable=False),
    # That of the account at the login.
    Column("password_number", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("account_id", "network"),
)

# What each account, trusted network and forwarding alias sent to other hosts, by hour, for the sending limits.
sent_counts: Final = Table(
    "sent_counts",
    metadata,
    # An address, a network, or "forward of " and an address.
    Column("sender", Text, nullable=False),
    # Hours since 1970, UTC.
    Column("hour", BigInteger, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("recipients", BigInteger, nullable=False),
    # What its owner was told in this hour: 0 nothing, 1 that a limit is near, 2 that mail is held.
    Column("told", SmallInteger, nullable=False),
    PrimaryKeyConstraint("sender", "hour"),
)

# Ended maildrop and queue rows, each under its own id.
settled: Final = Table(
    "settled",
    metadata,
    _id("row_id"),
    Column("message_id", BigInteger, nullable=False, index=True),
    Column("settled_at", BigInteger, nullable=False, index=True),
    # A Fate.
    Column("fate", Text, nullable=False),
    # The forward-path. Only for queue rows.
    Column("recipient", Text),
    # Only for queue rows.
    Column("attempts", BigInteger),
    Column("reply", Text),
    Column("remote", Text),
    Column("in_doubt", Boolean, nullable=False, server_default=false()),
)

# Events of messages between their arrival and their end.
events: Final = Table(
    "events",
    metadata,
    _id("event_id"),
    Column("message_id", BigInteger, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    # An EventKind.
    Column("kind", Text, nullable=False),
    # The maildrop or queue row of the event.
    Column("row_id", BigInteger),
    Column("recipient", Text),
    Column("reply", Text),
    Column("remote", Text),
    Column("in_doubt", Boolean, nullable=False, server_default=false()),
)

# Messages that lost a maildrop or queue row, under the id of that row. The sweeper checks whether it was the last one.
reclaim: Final = Table(
    "reclaim",
    metadata,
    _id("row_id"),
    Column("message_id", BigInteger, nullable=False),
)
