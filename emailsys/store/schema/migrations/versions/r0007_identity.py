"""An identity for each store, by which another store in its place is recognized."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from emailsys.store.schema.identity import read_identity

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and fill it with the identity by which the store was recognized before the upgrade."""
    connection = op.get_bind()
    identity = read_identity(connection)
    op.add_column("generation", sa.Column("identity", sa.Text(), nullable=True))
    connection.execute(sa.text("UPDATE generation SET identity = :identity"), {"identity": identity})
