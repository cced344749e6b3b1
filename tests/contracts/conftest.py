"""Fixtures of the contract suites."""

from tests.contracts.sql_fixtures import database, database_url, postgresql_server, stores

__all__ = ["database", "database_url", "postgresql_server", "stores"]
