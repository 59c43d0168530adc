"""A table of the addresses that accounts may send from besides their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, empty: every account may send from its own addresses."""
    op.create_table(
        "delegated_senders",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("domain_key", sa.Text(), nullable=False),
        sa.Column("local_key", sa.Text(), nullable=False),
        sa.Column("local", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_delegated_senders_account_id")),
        sa.PrimaryKeyConstraint("account_id", "domain_key", "local_key", name=op.f("pk_delegated_senders")),
    )
