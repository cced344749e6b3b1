"""Which schema a database has, told without Alembic: importing that would cost every start a quarter of a second."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa

from app.infrastructure.sql_engine import open_engine, translated

MIGRATIONS = Path(__file__).parents[2] / "migrations"
_REVISION = re.compile(r'^revision = "([^"]+)"$', re.MULTILINE)


def newest_revision() -> str:
    """The revision of the newest migration: they are named by date, so they sort."""
    files = (MIGRATIONS / "versions").glob("*.py")
    return max(found[1] for file in files if (found := _REVISION.search(file.read_text(encoding="utf-8"))))


def is_current(connection: sa.Connection) -> bool:
    """Whether this database has the newest schema."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    return found == [newest_revision()]


def revision_is_current(url: str) -> bool:
    """Whether the database at `url` has the newest schema. Raises StoreUnavailable when it cannot be reached."""
    engine = open_engine(url)
    try:
        with engine.sql.connect() as connection:
            return is_current(connection)
    except engine.errors as error:
        raise translated(error) from None
    finally:
        engine.sql.dispose()
