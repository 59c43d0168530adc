"""Forwards of accounts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, and the column that says whether an account forwards its mail. No account does."""
    op.add_column("accounts", sa.Column("forwarding", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_table(
        "forwards",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("target_local", sa.Text(), nullable=False),
        sa.Column("target_domain", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_forwards_account_id")),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f("pk_forwards")),
    )
