"""Connections to SQLite and PostgreSQL: which driver, which settings, how durable, and what a driver's error means."""

from __future__ import annotations

import importlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event, pool

from app.domain.errors import DiskFull, Misconfigured, StoreUnavailable, Unavailable
from app.infrastructure.sql_libpq import Direct
from app.infrastructure.sql_rows import POSTGRESQL_CODEC, SQLITE_CODEC, Codec

BUSY = "5000"  # milliseconds that a writer waits for another before it gives up
_CONTENDED = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock time-out: alone it may work
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One database: how to connect to it, how to speak to it, and how to read its errors."""

    name: Literal["sqlite", "postgresql"]
    sql: sa.Engine
    errors: tuple[type[Exception], ...]
    codec: Codec
    begin: str
    snapshot: str
    like: str  # compares texts without regard to case, at least for A to Z
    connect_options: Mapping[str, Any]
    settle: Callable[[Any], None]  # what a new connection needs
    reads_never_wait: bool  # SQLite in WAL mode: neither for writers nor for a network

    def connect(self) -> Any:
        """A driver's connection outside any pool, which commits each statement unless told BEGIN."""
        arguments, options = self.sql.dialect.create_connect_args(self.sql.url)
        connection: Any = self.sql.dialect.connect(*arguments, **{**options, **self.connect_options})
        self.settle(connection)
        return connection

    def direct(self, connection: Any) -> Direct | None:
        """The shorter way through this connection, where there is one."""
        return Direct(connection, _dbapi(self.sql)) if self.name == "postgresql" else None

    def text(self, sql: str) -> str:
        """The statement with its `:name` parameters as this driver wants them."""
        return sql if self.name == "sqlite" else _pyformat(sql)

    def among(self, column: str, parameter: str) -> str:
        """SQL that says whether a column is one of a list, which `many` made a parameter of."""
        if self.name == "sqlite":
            return f"{column} IN (SELECT value FROM json_each(:{parameter}))"  # noqa: S608 - names from the code
        return f"{column} = ANY(:{parameter})"

    def number_in(self, parameter: str, key: str) -> str:
        """SQL for the number that a mapping, which `numbers` made a parameter of, has for a key; NULL where none."""
        if self.name == "sqlite":
            return f"(SELECT value FROM json_each(:{parameter}) AS found WHERE found.key = {key})"  # noqa: S608 - as above
        return f"CAST(CAST(:{parameter} AS jsonb) ->> {key} AS bigint)"

    def numbers(self, values: Mapping[str, int]) -> Any:
        """A mapping as a parameter for `number_in`."""
        return json.dumps(dict(values))

    def by(self, index: str) -> str:
        """Names the index that a query must use. SQLite keeps no statistics here, and guesses; PostgreSQL knows."""
        return f" INDEXED BY {index}" if self.name == "sqlite" else ""

    def many(self, values: Iterable[Any]) -> Any:
        """A list as a parameter for `among`."""
        return json.dumps(list(values)) if self.name == "sqlite" else list(values)

    def is_down(self, error: BaseException) -> bool:
        """Whether it is the database that cannot, not the statement that is wrong."""
        return code(error) != "SQLITE_ERROR" and isinstance(
            getattr(error, "orig", None) or error, self.sql.dialect.loaded_dbapi.OperationalError
        )

    def weaknesses(self) -> list[str]:
        """Why a commit might not survive a power cut, one line each."""
        with self.sql.connect() as connection:

            def ask(what: str) -> str:
                return str(connection.exec_driver_sql(what).scalar_one())

            if self.name == "postgresql":
                return postgresql_weaknesses(ask("SHOW fsync"), ask("SHOW synchronous_commit"))
            version = tuple(int(part) for part in ask("SELECT sqlite_version()").split("."))
            return sqlite_weaknesses(version, ask("PRAGMA journal_mode"), int(ask("PRAGMA synchronous")))


@lru_cache(maxsize=256)
def _pyformat(sql: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", sql.replace("%", "%%"))


def open_engine(url: str, sqlite_synchronous: str = "FULL") -> Engine:
    """The engine for `sqlite:///path` or `postgresql://...`. Raises Misconfigured for any other URL."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise Misconfigured(["DATABASE_URL is not a database URL: use sqlite:///path or postgresql://..."]) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return _postgresql(parsed.set(drivername="postgresql+psycopg"))
    if parsed.drivername in ("sqlite", "sqlite+pysqlite") and parsed.database not in (None, "", ":memory:"):
        return _sqlite(parsed.set(drivername="sqlite+pysqlite"), sqlite_synchronous)
    raise Misconfigured([f"DATABASE_URL: {parsed.drivername} is not supported: use sqlite:///path or postgresql://..."])


def _postgresql(url: sa.URL) -> Engine:
    defaults = {
        "connect_timeout": "5",
        "application_name": "callslip",
        "tcp_user_timeout": "10000",  # a half-open connection is found before the lease of a job ends
        "options": f"-c lock_timeout={BUSY}",
    }
    url = url.set(query={**defaults, **url.query})
    engine = sa.create_engine(url, poolclass=pool.NullPool, isolation_level="READ COMMITTED")
    errors = (_dbapi(engine).Error, sa.exc.DBAPIError)
    return Engine(
        name="postgresql",
        sql=engine,
        errors=errors,
        codec=POSTGRESQL_CODEC,
        begin="BEGIN",
        snapshot="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        like="ILIKE",
        connect_options={"autocommit": True},
        settle=lambda _connection: None,
        reads_never_wait=False,
    )


def _sqlite(url: sa.URL, synchronous: str) -> Engine:
    if synchronous.upper() not in _SYNCHRONOUS:
        raise Misconfigured([f"SQLite's synchronous must be one of {', '.join(_SYNCHRONOUS)}"])
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    module = best_sqlite(_sqlite_modules())
    sound = keeps_wal(module.sqlite_version_info)
    if not sound and synchronous.upper() == "FULL":
        synchronous = "EXTRA"  # with a rollback journal, only EXTRA makes its removal durable
    engine = sa.create_engine(url, poolclass=pool.NullPool, module=module)
    settle = _settings("WAL" if sound else "TRUNCATE", synchronous)
    event.listen(engine, "connect", lambda connection, _record: settle(connection))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    errors = (module.Error, sa.exc.DBAPIError)
    return Engine(
        name="sqlite",
        sql=engine,
        errors=errors,
        codec=SQLITE_CODEC,
        begin="BEGIN IMMEDIATE",
        snapshot="BEGIN",
        like="LIKE",
        connect_options={"check_same_thread": False},  # the last to use them is the thread that closes
        settle=settle,
        reads_never_wait=sound,
    )


def _dbapi(engine: sa.Engine) -> Any:
    return engine.dialect.dbapi


def _settings(journal: str, synchronous: str) -> Callable[[Any], None]:
    def settle(connection: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in (
            f"busy_timeout = {BUSY}",
            f"journal_mode = {journal}",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
            "secure_delete = ON",  # what is erased is overwritten
            "journal_size_limit = 67108864",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    return settle


def _sqlite_modules() -> list[ModuleType]:
    try:
        return [sqlite3, importlib.import_module("pysqlite3.dbapi2")]
    except ImportError:
        return [sqlite3]


def best_sqlite(modules: list[ModuleType]) -> ModuleType:
    """The first whose WAL can be trusted, else the first."""
    return next((module for module in modules if keeps_wal(module.sqlite_version_info)), modules[0])


def keeps_wal(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the fix for the WAL-reset bug, which could corrupt a database with two connections.

    See https://sqlite.org/wal.html: fixed in 3.51.3, and in the 3.50.7 and 3.44.6 patch releases.
    """
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def sqlite_weaknesses(version: tuple[int, ...], journal_mode: str, synchronous: int) -> list[str]:
    """Why these settings of SQLite are refused, one line each."""
    problems = []
    if synchronous < _SYNCHRONOUS.index("FULL"):
        problems.append(
            f"SQLite's synchronous is {_SYNCHRONOUS[synchronous]}: a power cut would lose accepted jobs; use FULL"
        )
    if journal_mode.lower() == "wal" and not keeps_wal(version):
        number = ".".join(map(str, version))
        problems.append(
            f"SQLite {number} can corrupt a database in WAL mode: install the pysqlite3 wheel, or SQLite 3.51.3 or newer"
        )
    if journal_mode.lower() in ("off", "memory"):
        problems.append(f"SQLite's journal_mode is {journal_mode.upper()}: a crash would corrupt the database; use WAL")
    return problems


def postgresql_weaknesses(fsync: str, synchronous_commit: str) -> list[str]:
    """Why these settings of PostgreSQL are refused, one line each."""
    problems = []
    if fsync != "on":
        problems.append("PostgreSQL runs with fsync=off: a power cut would lose accepted jobs; set fsync=on")
    if synchronous_commit == "off":
        problems.append(
            "PostgreSQL runs with synchronous_commit=off: a power cut would lose accepted jobs; set it to on"
        )
    return problems


def code(error: BaseException) -> str:
    """SQLSTATE, or SQLite's name for the error, or the error's class."""
    origin = getattr(error, "orig", None) or error
    return getattr(origin, "sqlstate", None) or getattr(origin, "sqlite_errorname", None) or type(origin).__name__


def contended(error: BaseException) -> bool:
    """Whether others were in the way, so that fewer statements at a time may work."""
    return code(error) in _CONTENDED


def translated(error: BaseException) -> Unavailable:
    """A driver's error in our words. The driver's own are left out: they quote values of the row."""
    if code(error) in ("53100", "SQLITE_FULL"):
        return DiskFull("the database has no room left")
    return StoreUnavailable(f"the database did not do it ({code(error)})")
