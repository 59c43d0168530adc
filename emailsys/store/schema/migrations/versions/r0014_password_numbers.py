"""Numbers of passwords, by which every node notices that the networks of an old password are unknown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. The known networks stay known."""
    for table in ("accounts", "known_networks"):
        op.add_column(table, sa.Column("password_number", sa.Integer(), server_default="0", nullable=False))
