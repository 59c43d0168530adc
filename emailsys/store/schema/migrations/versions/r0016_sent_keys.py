"""An index of the messages that have a key of the HTTP API, on PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index. Nodes of a shared store read it with each keyed message."""
    if op.get_bind().dialect.name == "postgresql":
        has_key = sa.text("client LIKE '%\"sent_key\":%'")
        op.create_index("ix_messages_sent_key", "messages", ["message_id"], postgresql_where=has_key)
