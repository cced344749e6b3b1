"""Rewrites a database, so that not one byte of what was erased is left in its files. For a quiet hour: writers wait.

An erasure overwrites what it removes. But both databases keep copies: SQLite of rows that it once moved to another
page, PostgreSQL of every row's earlier versions, and samples in its statistics. Only writing anew what is to stay gets
rid of all.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from app.domain.errors import StoreUnavailable
from app.infrastructure.sql_engine import Engine, code, open_engine, translated

PATIENCE = 30.0  # seconds for others to let go of SQLite's log
PERSONAL_TABLES = ("job_log", "audit_detail", "step_output", "joined_key", "pg_catalog.pg_statistic")
_NOT_OURS_TO_DO = "42501"


def scrub(url: str) -> None:
    """Blocks until it is done; repeating it does no harm. Needs as much free room as the database has.

    Raises Misconfigured and StoreUnavailable.
    """
    engine = open_engine(url)
    try:
        connection = engine.connect()
        try:
            (_scrub_sqlite if engine.name == "sqlite" else _scrub_postgresql)(engine, connection)
        finally:
            connection.close()
    except engine.errors as error:
        raise translated(error) from None


def _scrub_sqlite(engine: Engine, connection: Any) -> None:
    # Else the copy would be made in /tmp, which may be too small, and is not ours.
    os.environ["SQLITE_TMPDIR"] = str(Path(engine.sql.url.database or "").absolute().parent)
    connection.execute("VACUUM")
    until = time.monotonic() + PATIENCE
    while not emptied(connection):
        if time.monotonic() > until:
            raise StoreUnavailable(
                "somebody has been reading the database all the time, so its log could not be emptied"
            )


def _scrub_postgresql(engine: Engine, connection: Any) -> None:
    connection.execute("SET lock_timeout = '60s'")
    for table in PERSONAL_TABLES:
        connection.execute(f"VACUUM (FULL{'' if '.' in table else ', ANALYZE'}) {table}")
    try:
        connection.execute("CHECKPOINT")  # else the old files are emptied at the next one
    except engine.errors as error:
        if code(error) != _NOT_OURS_TO_DO:
            raise


def emptied(connection: Any) -> bool:
    """Copies SQLite's log into the database and empties it; False where somebody still reads from it."""
    ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return not busy
