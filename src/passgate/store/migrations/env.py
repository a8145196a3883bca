"""Alembic's entry: it works on the connection `store.migrate` hands over. Nothing is configured here."""

from alembic import context

from passgate.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
