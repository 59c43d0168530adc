"""A fast checksum for each body piece, compared at each read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Existing pieces have no checksum and are checked by their SHA-256."""
    for table in ("bodies", "body_pieces"):
        op.add_column(table, sa.Column("checksum", sa.LargeBinary(), nullable=True))
