"""Entry point of alembic: migrates on the connection and in the transaction of `store.schema.migrate`."""

from alembic import context

from emailsys.store.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
