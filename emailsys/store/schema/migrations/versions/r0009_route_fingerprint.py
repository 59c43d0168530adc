"""A pinned certificate for the host of a route."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the fingerprint, empty for all routes."""
    op.add_column("routes", sa.Column("certificate_fingerprint", sa.Text(), server_default="", nullable=False))
