"""Aliases with several targets, routes, quotas, notices in the queue, and the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns and tables. Rows that release 0.1 writes stay valid, because all new columns have defaults."""
    for table in ("accounts", "domains"):
        op.add_column(table, sa.Column("quota", sa.BigInteger(), nullable=True))
    for table in ("bodies", "body_pieces"):
        op.add_column(table, sa.Column("digest", sa.LargeBinary(), nullable=True))
    with op.batch_alter_table("messages") as batch:
        # From now on, the row of a message outlives its body.
        batch.drop_constraint("fk_messages_message_id", type_="foreignkey")
        for name in ("ret", "envid", "client", "header_id"):
            batch.add_column(sa.Column(name, sa.Text(), nullable=True))
        for name in ("cause", "rows"):
            batch.add_column(sa.Column(name, sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("recipients", sa.Text(), nullable=True))
    _partial_index("ix_messages_cause", "messages", "cause")
    for column in (
        sa.Column("last_remote", sa.Text(), nullable=True),
        sa.Column("warned", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("forwarded", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("notify", sa.Text(), nullable=True),
        sa.Column("orcpt", sa.Text(), nullable=True),
    ):
        op.add_column("queue", column)
    _partial_index("ix_queue_lease", "queue", "lease")
    with op.batch_alter_table("addresses") as batch:
        batch.add_column(sa.Column("number", sa.SmallInteger(), server_default="0", nullable=False))
        batch.drop_constraint("pk_addresses", type_="primary")
        batch.create_primary_key("pk_addresses", ["domain_id", "local_key", "number"])
    op.create_table(
        "routes",
        sa.Column("recipient_domain", sa.Text(), nullable=False),
        sa.Column("sender_domain", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("tls", sa.Text(), nullable=False),
        sa.Column("implicit_tls", sa.Boolean(), nullable=False),
        sa.Column("certificate_name", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("recipient_domain", "sender_domain", name=op.f("pk_routes")),
    )
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "settled",
        sa.Column("row_id", key, autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=False),
        sa.Column("fate", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("remote", sa.Text(), nullable=True),
        sa.Column("in_doubt", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_settled")),
    )
    op.create_index(op.f("ix_settled_message_id"), "settled", ["message_id"], unique=False)
    op.create_index(op.f("ix_settled_settled_at"), "settled", ["settled_at"], unique=False)
    op.create_table(
        "events",
        sa.Column("event_id", key, autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("remote", sa.Text(), nullable=True),
        sa.Column("in_doubt", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_message_id"), "events", ["message_id"], unique=False)
    # Existing messages enter the ledger with their present rows.
    op.execute(
        "UPDATE messages SET rows = (SELECT count(*) FROM maildrop WHERE maildrop.message_id = messages.message_id)"
        " + (SELECT count(*) FROM queue WHERE queue.message_id = messages.message_id)"
    )


def _partial_index(name: str, table: str, column: str) -> None:
    """Create an index without NULL values, which most rows have."""
    where = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, table, [column], unique=False, sqlite_where=where, postgresql_where=where)
