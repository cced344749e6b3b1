"""Fixtures of the suites on databases."""

from tests.contracts.sql_fixtures import (
    database,
    database_url,
    postgresql_server,
    postgresql_template,
    sqlite_template,
    stores,
)

__all__ = ["database", "database_url", "postgresql_server", "postgresql_template", "sqlite_template", "stores"]
