"""Which databases are taken, with which settings, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from app.domain.errors import Misconfigured, StoreUnavailable
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_engine import (
    best_sqlite,
    keeps_wal,
    open_engine,
    postgresql_weaknesses,
    sqlite_weaknesses,
)
from app.infrastructure.sql_schema import migrate
from tests.contracts.sql_fixtures import on_postgresql, refusal, sql_stores
from tests.jobs import accepted

SOUND = (3, 53, 4)


@pytest.mark.parametrize("version", [(3, 51, 3), (3, 53, 4), (4, 0, 0), (3, 50, 7), (3, 50, 9), (3, 44, 6)])
def test_these_sqlites_keep_a_wal(version: tuple[int, ...]) -> None:
    assert keeps_wal(version)


@pytest.mark.parametrize("version", [(3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6), (3, 51, 0), (3, 51, 2)])
def test_these_sqlites_may_lose_a_wal(version: tuple[int, ...]) -> None:
    assert not keeps_wal(version)
    assert "pysqlite3" in sqlite_weaknesses(version, "wal", 2)[0]
    assert sqlite_weaknesses(version, "truncate", 3) == []


def test_sqlite_below_full_is_refused() -> None:
    assert sqlite_weaknesses(SOUND, "wal", 2) == []
    assert ["NORMAL" in line for line in sqlite_weaknesses(SOUND, "wal", 1)] == [True]
    assert ["OFF" in line for line in sqlite_weaknesses(SOUND, "delete", 0)] == [True]
    assert len(sqlite_weaknesses(SOUND, "memory", 0)) == 2


def test_postgresql_that_does_not_sync_is_refused() -> None:
    assert postgresql_weaknesses("on", "on") == []
    assert postgresql_weaknesses("on", "remote_apply") == []
    assert ["fsync" in line for line in postgresql_weaknesses("off", "on")] == [True]
    assert ["synchronous_commit" in line for line in postgresql_weaknesses("on", "off")] == [True]
    assert len(postgresql_weaknesses("off", "off")) == 2


def test_the_first_sound_sqlite_is_taken_else_the_first() -> None:
    old, new, newer = ModuleType("old"), ModuleType("new"), ModuleType("newer")
    vars(old)["sqlite_version_info"] = (3, 40, 1)
    vars(new)["sqlite_version_info"] = vars(newer)["sqlite_version_info"] = SOUND
    assert best_sqlite([old, new, newer]) is new
    assert best_sqlite([old]) is old


def test_a_weak_synchronous_stops_the_start_with_a_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    migrate(url)
    with pytest.raises(Misconfigured) as caught:
        SqlDatabase(url, sqlite_synchronous="NORMAL").check()
    assert len(caught.value.problems) == 1
    SqlDatabase(url, sqlite_synchronous="EXTRA").check()


def test_an_unknown_synchronous_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        SqlDatabase(f"sqlite:///{tmp_path}/jobs.db", sqlite_synchronous="1; DROP TABLE job_log")


@on_postgresql
def test_a_postgresql_database_without_synchronous_commit_stops_the_start(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.sql.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {engine.sql.url.database} SET synchronous_commit TO off")
    with pytest.raises(Misconfigured, match="synchronous_commit"):
        SqlDatabase(database_url).check()


def test_sqlite_connections_are_durable_and_overwrite_what_is_erased(tmp_path: Path) -> None:
    connection = open_engine(f"sqlite:///{tmp_path}/jobs.db").connect()
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 5000}
    assert {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in expected} == expected
    connection.close()


@on_postgresql
def test_postgresql_connections_read_what_is_committed(database_url: str) -> None:
    engine = open_engine(database_url)
    connection = engine.connect()
    assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
    assert connection.execute("SHOW lock_timeout").fetchone() == ("5s",)
    assert connection.execute("SHOW TimeZone").fetchone() == ("Asia/Kathmandu",)
    connection.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_means_psycopg(scheme: str) -> None:
    url = open_engine(f"{scheme}://ada:secret@db.example/jobs?sslmode=require&connect_timeout=9").sql.url
    assert url.drivername == "postgresql+psycopg"
    assert (url.query["sslmode"], url.query["connect_timeout"]) == ("require", "9")


@pytest.mark.parametrize("url", ["", "jobs.db", "sqlite://", "sqlite:///:memory:", "mysql://u:hush@h/d"])
def test_any_other_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        SqlDatabase(url)
    assert "DATABASE_URL" in str(caught.value)
    assert "hush" not in str(caught.value)


async def test_a_server_that_is_away_is_store_unavailable_everywhere() -> None:
    database = SqlDatabase("postgresql://nobody@127.0.0.1:1/nothing")
    stores = sql_stores(database)
    job, line = accepted()
    with pytest.raises(StoreUnavailable):
        database.check()
    for work in (database.ping(), stores.log.get(job.job_id), stores.agenda.now(), stores.log.add(job, line)):
        assert isinstance(await refusal(work), StoreUnavailable)
    await database.close()


async def test_a_file_that_is_no_database_is_store_unavailable(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"this is a letter, not a database" * 200)
    database = SqlDatabase(f"sqlite:///{tmp_path}/jobs.db")
    assert isinstance(await refusal(database.ping()), StoreUnavailable)
    assert isinstance(await refusal(sql_stores(database).log.add(*accepted())), StoreUnavailable)
    await database.close()


async def test_ping_answers(database: SqlDatabase) -> None:
    await database.ping()


@on_postgresql
async def test_postgresql_sessions_that_ended_are_replaced_for_readers_and_writer(database: SqlDatabase) -> None:
    stores = sql_stores(database)
    job = await stores.added()
    for _ in range(3):
        with database.engine.sql.connect() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert (await stores.log.get(job.job_id)).version == 1
        await stores.added()
