"""The tables of release 0.1."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables, and the single row of `generation`."""
    op.create_table(
        "bodies",
        sa.Column("body_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("dots", sa.Boolean(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("body_id", name=op.f("pk_bodies")),
    )
    op.create_table(
        "commits",
        sa.Column("node", sa.SmallInteger(), nullable=False),
        sa.Column("writer", sa.SmallInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", "writer", name=op.f("pk_commits")),
    )
    op.create_table(
        "domains",
        sa.Column(
            "domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("domain_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("domain_id", name=op.f("pk_domains")),
        sa.UniqueConstraint("domain_key", name=op.f("uq_domains_domain_key")),
    )
    op.create_table(
        "generation",
        sa.Column("singleton", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("singleton = 1", name=op.f("ck_generation_one_row")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_generation")),
    )
    op.create_table(
        "reclaim",
        sa.Column("row_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_reclaim")),
    )
    op.create_table(
        "accounts",
        sa.Column(
            "account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("domain_id", sa.BigInteger(), nullable=False),
        sa.Column("local_key", sa.Text(), nullable=False),
        sa.Column("local", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.domain_id"], name=op.f("fk_accounts_domain_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("domain_id", "local_key", name=op.f("uq_accounts_domain_id")),
    )
    op.create_table(
        "body_pieces",
        sa.Column("body_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("dots", sa.Boolean(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["body_id"], ["bodies.body_id"], name=op.f("fk_body_pieces_body_id")),
        sa.PrimaryKeyConstraint("body_id", "number", name=op.f("pk_body_pieces")),
    )
    op.create_table(
        "messages",
        sa.Column(
            "message_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("reverse_local", sa.Text(), nullable=True),
        sa.Column("reverse_domain", sa.Text(), nullable=True),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("pieces", sa.BigInteger(), nullable=False),
        sa.Column("body_type", sa.Text(), nullable=False),
        sa.Column("smtputf8", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["bodies.body_id"], name=op.f("fk_messages_message_id")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_messages")),
    )
    op.create_table(
        "staged",
        sa.Column("body_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("node", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["body_id"], ["bodies.body_id"], name=op.f("fk_staged_body_id")),
        sa.PrimaryKeyConstraint("body_id", name=op.f("pk_staged")),
    )
    op.create_table(
        "addresses",
        sa.Column("domain_id", sa.BigInteger(), nullable=False),
        sa.Column("local_key", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("target_local", sa.Text(), nullable=False),
        sa.Column("target_domain", sa.Text(), nullable=False),
        sa.Column("target_local_key", sa.Text(), nullable=False),
        sa.Column("target_domain_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_addresses_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.domain_id"], name=op.f("fk_addresses_domain_id")),
        sa.PrimaryKeyConstraint("domain_id", "local_key", name=op.f("pk_addresses")),
    )
    op.create_index(op.f("ix_addresses_account_id"), "addresses", ["account_id"], unique=False)
    op.create_index("ix_addresses_target", "addresses", ["target_domain_key", "target_local_key"], unique=False)
    op.create_table(
        "credentials",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_credentials_account_id")),
        sa.PrimaryKeyConstraint("account_id", "scheme", name=op.f("pk_credentials")),
    )
    op.create_table(
        "maildrop",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("row_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("smtputf8", sa.Boolean(), nullable=False),
        sa.Column("prefix", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_maildrop_account_id")),
        sa.ForeignKeyConstraint(["message_id"], ["messages.message_id"], name=op.f("fk_maildrop_message_id")),
        sa.PrimaryKeyConstraint("account_id", "row_id", name=op.f("pk_maildrop")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_maildrop_message_id"), "maildrop", ["message_id"], unique=False)
    op.create_table(
        "queue",
        sa.Column("row_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("forward_local", sa.Text(), nullable=False),
        sa.Column("forward_domain", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=True),
        sa.Column("last_reply", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["messages.message_id"], name=op.f("fk_queue_message_id")),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_queue")),
    )
    op.create_index(op.f("ix_queue_due_at"), "queue", ["due_at"], unique=False)
    op.create_index(op.f("ix_queue_message_id"), "queue", ["message_id"], unique=False)
    op.execute("INSERT INTO generation (singleton, number) VALUES (1, 1)")
    if op.get_context().dialect.name == "postgresql":
        for table in ("bodies", "body_pieces"):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN content SET STORAGE EXTERNAL")
