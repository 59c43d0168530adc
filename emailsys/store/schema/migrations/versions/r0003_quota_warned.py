"""A flag for accounts whose owner was warned that the maildrop is nearly full."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the flag, false for all accounts."""
    op.add_column("accounts", sa.Column("quota_warned", sa.Boolean(), server_default=sa.false(), nullable=False))
