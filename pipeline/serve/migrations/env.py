"""Run by Alembic: brings the database behind the connection that `pipeline.serve.database` hands over to a schema."""

from __future__ import annotations

from alembic import context

from pipeline.serve.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
