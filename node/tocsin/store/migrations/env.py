"""What Alembic runs: it migrates over the connection that `tocsin.store.migrate` gives."""

from alembic import context

from tocsin.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
