"""Runs the migrations on the connection that the app gives, or, by hand, on DATABASE_URL."""

import os

import sqlalchemy as sa
from alembic import context

from app.infrastructure.sql_engine import open_engine
from app.infrastructure.sql_tables import Table


def run(connection: sa.Connection) -> None:
    """One transaction for all steps; on SQLite, tables are rebuilt where it cannot alter them."""
    context.configure(connection=connection, target_metadata=Table.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Finds the connection."""
    given = context.config.attributes.get("connection")
    if given is not None:
        run(given)
        return
    engine = open_engine(os.environ.get("DATABASE_URL", ""))
    with engine.sql.connect() as connection:
        run(connection)


main()
