"""Brings a database's schema up to date, with Alembic."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config

from app.infrastructure.sql_engine import Engine, open_engine, translated
from app.infrastructure.sql_revision import MIGRATIONS

_MIGRATION_LOCK = 0x63616C6C736C6970  # any number that nobody else takes


def migrate(url: str) -> None:
    """Brings the schema up to date. Processes that start at once wait for each other.

    Raises StoreUnavailable when the database cannot be reached.
    """
    engine = open_engine(url)
    try:
        with _alone(engine), engine.sql.connect() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except engine.errors as error:
        raise translated(error) from error
    finally:
        engine.sql.dispose()


def alembic_config() -> Config:
    """Alembic, pointed at the migrations beside the app."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    if engine.name == "sqlite":
        with Path(f"{engine.sql.url.database}.migrating").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # closing the file lets go of it
            yield
        return
    with engine.sql.connect() as connection:
        connection.exec_driver_sql("SET lock_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
        yield
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})")
