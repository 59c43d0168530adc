"""Looks at the clock, and the gaps between them, by which retention knows how much time has passed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, empty."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "clock_looks",
        sa.Column("at", key, autoincrement=False, nullable=False),
        sa.Column("gap", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("at", name="pk_clock_looks"),
    )
