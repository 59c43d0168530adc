"""Run by alembic: migrate over the connection that `store.migrate` gives, in the transaction that is open there."""

from alembic import context

from emailsys.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
