"""Alembic runs this file for each command: it migrates the connection that `migrate` gives."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
