"""The time from which the age of a queue row counts, if not from the arrival of its message."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. The age of existing rows counts from the arrival of their messages."""
    op.add_column("queue", sa.Column("aged_from", sa.BigInteger(), nullable=True))
