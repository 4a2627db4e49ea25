"""Alembic's entry point. The connection and its transaction come from the caller."""

from alembic import context

from admittance.server.integrity.store import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
