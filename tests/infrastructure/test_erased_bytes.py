"""What was erased is looked for where no query shows it: in the bytes of the database's own files."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from app.domain import lifecycle
from app.domain.lifecycle import Completed
from app.domain.models import Job, JobResult
from app.infrastructure import sql_scrub
from app.infrastructure.job_log_sql import SqlJobLogStore
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_scrub import scrub
from tests.contracts.sql_fixtures import on_postgresql, on_sqlite, refusal
from tests.jobs import AT, DELIVERED, ERASED, STARTED, accepted, receipt

JOBS = 120
# Sizes that make SQLite split its pages again and again, which is when it leaves copies behind.
SIZES = random.Random(3)


async def told(log: SqlJobLogStore, mark: str) -> Job:
    """A job that has the mark in all that is personal."""
    job, line = accepted(
        client=f"{mark}-client",
        idempotency_key=f"{mark}-{'k' * SIZES.randrange(60)}",
        params={"note": mark * SIZES.randrange(1, 40)},
        file=receipt(filename=f"{mark}.pdf"),
    )
    await log.add(job, line)
    result = Completed(result=JobResult(message=mark, data={"all": mark * SIZES.randrange(1, 400)}))
    for event in (STARTED, DELIVERED, result):
        job, line = lifecycle.advance(job, event, AT)
        await log.record(job, line)
    return job


async def erased(log: SqlJobLogStore, jobs: Iterable[Job]) -> None:
    await asyncio.gather(*(log.erase(*lifecycle.advance(job, ERASED, AT)) for job in jobs))


def left(files: Iterable[Path], marks: Iterable[str]) -> set[str]:
    raw = b"".join(path.read_bytes() for path in files)
    return {mark for mark in marks if mark.encode() in raw}


def files_of(url: str) -> list[Path]:
    """The files of the database itself: of SQLite with its log, of PostgreSQL its tables and indexes."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return sorted(path.parent.glob(f"{path.name}*"))
    with psycopg.connect(sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)) as one:
        ((folder, number),) = one.execute(
            "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = current_database()"
        ).fetchall()
    found = list((Path(folder) / "base" / str(number)).iterdir()) if Path(folder).is_dir() else []
    return found or pytest.skip("the server's files are not on this machine")


async def test_after_a_scrub_no_byte_of_what_was_erased_is_left_in_the_databases_files(
    database_url: str, database: SqlDatabase
) -> None:
    log = SqlJobLogStore(database, keep_notices=False)
    marks = [f"CANARY{number:05d}end" for number in range(JOBS)]
    jobs = [job for start in range(0, JOBS, 40) for job in await asyncio.gather(
        *(told(log, mark) for mark in marks[start : start + 40]))]  # fmt: skip
    if database.engine.name == "postgresql":
        with database.engine.sql.connect() as connection:  # its statistics keep samples of values
            connection.exec_driver_sql("ANALYZE")
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("CHECKPOINT")
    gone, kept = marks[: JOBS // 2], marks[JOBS // 2 :]
    await erased(log, jobs[: JOBS // 2])
    await asyncio.to_thread(scrub, database_url)
    files = files_of(database_url)
    assert left(files, kept) == set(kept)  # so it is in these files that values would be
    assert left(files, gone) == set()
    assert (await log.get(jobs[-1].job_id)).client == f"{marks[-1]}-client"


@on_sqlite
async def test_an_erasure_empties_the_log_of_sqlite_as_soon_as_nobody_reads_from_it(
    database_url: str, database: SqlDatabase
) -> None:
    log, mark = SqlJobLogStore(database, keep_notices=False), "CANARYloneXend"
    job = await told(log, mark)
    reader = database.engine.connect()
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM job_log").fetchall() == [(1,)]
    began = asyncio.get_running_loop().time()
    await erased(log, [job])
    await told(log, "somebody else")
    assert asyncio.get_running_loop().time() - began < 3  # no commit waits for whoever reads
    assert left(files_of(database_url), [mark])
    reader.execute("COMMIT")
    for _ in range(100):
        if not left(files_of(database_url), [mark]):
            break
        await asyncio.sleep(0.05)
    reader.close()
    assert not left(files_of(database_url), [mark])


@on_sqlite
async def test_who_reads_all_the_time_keeps_a_scrub_from_its_end_and_is_told_of(
    database_url: str, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_scrub, "PATIENCE", 0.0)
    await told(SqlJobLogStore(database, keep_notices=False), "one")
    reader = database.engine.connect()
    monkeypatch.setattr(sql_scrub, "emptied", short_of_patience(sql_scrub.emptied))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM job_log").fetchall()
    assert "reading the database" in str(await refusal(asyncio.to_thread(scrub, database_url)))
    reader.close()
    await asyncio.to_thread(scrub, database_url)


def short_of_patience(real: Callable[..., bool]) -> Callable[..., bool]:
    """The same, without SQLite's own five seconds of waiting for the reader."""

    def emptied(connection: object) -> bool:
        connection.execute("PRAGMA busy_timeout = 0").fetchall()  # type: ignore[attr-defined]  # any driver's
        return real(connection)

    return emptied


@on_postgresql
async def test_who_may_not_ask_for_a_checkpoint_can_still_scrub(database_url: str, database: SqlDatabase) -> None:
    url = sa.make_url(database_url)
    role, tables = f"owner_{url.database}", ("job_log", "audit_detail", "step_output", "joined_key")
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as superuser:
        superuser.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        superuser.execute(f"ALTER DATABASE {url.database} OWNER TO {role}")
        for table in tables:
            superuser.execute(f"ALTER TABLE {table} OWNER TO {role}")
        superuser.commit()
        await asyncio.to_thread(scrub, url.set(username=role, password="x").render_as_string(hide_password=False))
        superuser.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        superuser.execute(f"DROP ROLE {role}")
