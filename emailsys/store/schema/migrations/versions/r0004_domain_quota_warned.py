"""A flag for domains whose postmaster was warned that the domain is nearly full."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the flag, false for all domains."""
    op.add_column("domains", sa.Column("quota_warned", sa.Boolean(), server_default=sa.false(), nullable=False))
