"""The group-commit writer: many changes in one commit, and every caller told the truth about its own."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from prometheus_client import REGISTRY

from app.domain import lifecycle, verification
from app.domain.errors import DiskFull, StoreUnavailable
from app.domain.models import JobId, first_id, new_job_id
from app.infrastructure import sql_writer
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_revision import MIGRATIONS
from app.infrastructure.sql_writer import Batch, Change, Outcome
from tests.contracts.sql_fixtures import Stores, on_postgresql, on_sqlite, refusal, sql_stores
from tests.jobs import AT, ERASED, FAILED, NOTED, STARTED, accepted, after, draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Change):
    """Runs one statement, and says in which transaction."""

    job_id: JobId
    sql: str = "SELECT 1"
    batches: ClassVar[list[Batch]] = []  # kept, so that no two have the same id

    @staticmethod
    def apply(batch: Batch, run: Sequence[Probe]) -> list[Outcome]:
        Probe.batches.append(batch)
        for probe in run:
            batch.rows(probe.sql, {})
        return [id(batch) for _ in run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Change):
    """Has the writer's session ended by somebody else, the first time."""

    job_id: JobId
    done: ClassVar[list[bool]] = []

    @staticmethod
    def apply(batch: Batch, run: Sequence[Cut]) -> list[Outcome]:
        if not Cut.done:
            Cut.done.append(True)
            ((pid,),) = batch.rows("SELECT pg_backend_pid()", {})
            other = batch.engine.connect()
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            other.close()
        return [None for _ in run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Change):
    """Asks the writer's own session for a number."""

    job_id: JobId
    sql: str

    @staticmethod
    def apply(batch: Batch, run: Sequence[Count]) -> list[Outcome]:
        return [batch.rows(count.sql, {})[0][0] for count in run]


def probe(sql: str = "SELECT 1") -> Probe:
    return Probe(job_id=new_job_id(AT), sql=sql)


@pytest.fixture
def stores(database: SqlDatabase) -> Stores:
    return sql_stores(database)


@pytest.fixture
async def rival(database_url: str) -> AsyncIterator[SqlDatabase]:
    """A second writer on the same database, as another process would be."""
    opened = SqlDatabase(database_url)
    yield opened
    await opened.close()


async def test_changes_that_wait_share_a_commit(database: SqlDatabase) -> None:
    used = await asyncio.gather(*(database.write(probe()) for _ in range(100)))
    assert len(set(used)) < 50


@on_sqlite
async def test_what_comes_in_while_another_process_writes_shares_a_commit(database: SqlDatabase) -> None:
    await database.write(probe())
    holder = database.engine.connect()
    holder.execute(database.engine.begin)
    writing = []
    for _ in range(10):
        writing.append(asyncio.create_task(database.write(probe())))
        await asyncio.sleep(0.005)
    holder.rollback()
    holder.close()
    assert len(set(await asyncio.gather(*writing))) == 1


@on_sqlite
async def test_who_gives_up_while_another_process_writes_leaves_nothing_locked(database: SqlDatabase) -> None:
    await database.write(probe())
    holder = database.engine.connect()
    holder.execute(database.engine.begin)
    writing = asyncio.create_task(database.write(probe()))
    await asyncio.sleep(0.02)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    holder.rollback()
    await asyncio.sleep(0.05)
    holder.execute(database.engine.begin)
    holder.rollback()
    holder.close()
    await database.write(probe())


async def test_a_batch_that_raises_is_run_one_by_one_and_only_the_culprit_fails(database: SqlDatabase) -> None:
    work = [probe() for _ in range(20)]
    work[7] = probe("SELECT * FROM no_such_table")
    told = await asyncio.gather(*(database.write(one) for one in work), return_exceptions=True)
    assert [number for number, answer in enumerate(told) if isinstance(answer, Exception)] == [7]
    assert isinstance(told[7], StoreUnavailable)


async def test_a_change_that_the_schema_refuses_fails_alone(stores: Stores) -> None:
    good = [accepted() for _ in range(10)]
    job, line = accepted()
    told = await asyncio.gather(
        *(stores.log.add(*one) for one in good[:5]),
        stores.log.add(replace(job, due_at=None), line),
        *(stores.log.add(*one) for one in good[5:]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in told] == [type(None)] * 5 + [StoreUnavailable] + [type(None)] * 5
    assert len((await stores.search.page()).jobs) == 10


async def test_a_change_with_a_character_that_the_database_cannot_hold_fails_alone(stores: Stores) -> None:
    good = [accepted() for _ in range(4)]
    bad = accepted(subject="a\0b", file=None)
    told = await asyncio.gather(*(stores.log.add(*one) for one in [*good[:2], bad, *good[2:]]), return_exceptions=True)
    assert [told[number] for number in (0, 1, 3, 4)] == [None] * 4
    assert isinstance(told[2], StoreUnavailable) or (await stores.log.get(bad[0].job_id)) == bad[0]


@on_postgresql
async def test_what_was_prepared_is_used_again_after_a_rollback(stores: Stores, database: SqlDatabase) -> None:
    prepared = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'callslip%'"
    counts = []
    for _ in range(3):
        await stores.added()
        counts.append(await database.write(Count(job_id=new_job_id(AT), sql=prepared)))
        await refusal(stores.log.add(*accepted(due_at=None)))
        await refusal(database.write(probe("SELECT * FROM no_such_table")))
    assert counts == [1, 1, 1]


async def test_a_change_that_cannot_be_encoded_fails_alone(stores: Stores) -> None:
    good = [accepted() for _ in range(4)]
    job, line = accepted()
    told = await asyncio.gather(
        *(stores.log.add(*one) for one in good[:2]),
        stores.log.add(replace(job, subject="\ud800"), line),  # half a character
        *(stores.log.add(*one) for one in good[2:]),
        return_exceptions=True,
    )
    assert [answer is None for answer in told] == [True, True, False, True, True]


async def test_no_error_quotes_a_value_of_the_row(stores: Stores) -> None:
    job, line = accepted(subject="canary-subject", idempotency_key="canary-key")
    error = await refusal(stores.log.add(replace(job, due_at=None), line))
    assert "canary" not in str(error)
    assert error.__cause__ is None


async def test_closing_finishes_what_was_submitted(database_url: str) -> None:
    database = SqlDatabase(database_url)
    stores = sql_stores(database)
    jobs = [accepted() for _ in range(50)]
    adding = [asyncio.create_task(stores.log.add(*one)) for one in jobs]
    await asyncio.sleep(0)
    await database.close()
    await asyncio.gather(*adding)
    assert isinstance(await refusal(stores.log.add(*accepted())), StoreUnavailable)
    assert isinstance(await refusal(stores.search.counts({})), StoreUnavailable)
    again = SqlDatabase(database_url)
    assert len((await sql_stores(again).search.page(limit=100)).jobs) == 50
    await again.close()


async def test_a_caller_that_gives_up_disturbs_nobody(stores: Stores) -> None:
    adding = [asyncio.create_task(stores.log.add(*accepted())) for _ in range(20)]
    await asyncio.sleep(0)
    for task in adding[::2]:
        task.cancel()
    told = await asyncio.gather(*adding, return_exceptions=True)
    assert [answer is None for answer in told] == [False, True] * 10
    await stores.added()


async def test_writers_in_two_processes_race_for_the_same_jobs_without_a_deadlock(
    stores: Stores, rival: SqlDatabase
) -> None:
    jobs = [await stores.added(STARTED) for _ in range(20)]
    sides = [stores, sql_stores(rival)]

    async def disturb(side: Stores, seed: int) -> None:
        order = random.Random(seed).sample(jobs, len(jobs))
        work = [side.log.record(*after(await side.log.get(job.job_id), NOTED)) for job in order]
        renewals = [side.agenda.renew({job.job_id: 1}, AT) for job in reversed(order)]
        told = await asyncio.gather(*work, *renewals, return_exceptions=True)
        assert not [answer for answer in told if isinstance(answer, StoreUnavailable)]

    for turn in range(5):
        await asyncio.gather(*(disturb(side, turn * 10 + number) for number, side in enumerate(sides)))
    if rival.engine.name == "postgresql":
        sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await rival.rows(sql, {}) == [(0,)]
    async for job_id, job, lines, _ in stores.log.walk():
        assert verification.verify(job, job_id, lines) is None


async def test_two_adds_with_one_key_from_two_processes_make_one_job(stores: Stores, rival: SqlDatabase) -> None:
    other = sql_stores(rival)
    for turn in range(10):
        key = f"key {turn}"
        sides = [(stores, accepted(idempotency_key=key)), (other, accepted(idempotency_key=key))]
        told = await asyncio.gather(*(side.log.add(*one) for side, one in sides), return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in told) == ["DuplicateJob", "NoneType"]


def test_two_processes_write_one_database_without_lock_errors(database_url: str) -> None:
    program = (
        "import asyncio\n"
        "from app.infrastructure.sql_database import SqlDatabase\n"
        "from app.infrastructure.job_log_sql import SqlJobLogStore\n"
        "from tests.jobs import STARTED, accepted, after\n"
        "async def main():\n"
        f"    database = SqlDatabase({database_url!r})\n"
        "    log = SqlJobLogStore(database, keep_notices=True)\n"
        "    async def one():\n"
        "        for _ in range(20):\n"
        "            job, line = accepted()\n"
        "            await log.add(job, line)\n"
        "            await log.record(*after(job, STARTED))\n"
        "    await asyncio.gather(*(one() for _ in range(8)))\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program], cwd=MIGRATIONS.parent) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]


async def test_a_lock_that_somebody_holds_for_long_is_store_unavailable(
    stores: Stores, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await stores.added()
    monkeypatch.setattr(sql_writer, "BUSY", "200")  # as it is set up it waits for seconds
    if database.engine.name == "postgresql":
        await database.write(probe("SELECT set_config('lock_timeout', '200', false)"))
    holder = database.engine.connect()
    holder.execute(database.engine.begin)
    holder.execute("UPDATE job_log SET notes = notes")
    assert isinstance(await refusal(stores.log.record(*after(job, STARTED))), StoreUnavailable)
    holder.rollback()
    holder.close()
    await stores.happened(job, STARTED)


@on_sqlite
async def test_a_full_disk_is_disk_full_and_passes(stores: Stores, database: SqlDatabase) -> None:
    pages = (await database.rows("PRAGMA page_count", {}))[0][0]
    await database.write(probe(f"PRAGMA max_page_count = {pages + 2}"))
    big = accepted(params={"text": "x" * 100_000})
    assert isinstance(await refusal(stores.log.add(*big)), DiskFull)
    await database.write(probe("PRAGMA max_page_count = 1000000"))
    await stores.log.add(*big)


@on_postgresql
async def test_postgresql_without_room_is_disk_full(stores: Stores, database: SqlDatabase) -> None:
    full = "DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$"
    assert isinstance(await refusal(database.write(probe(full))), DiskFull)
    await stores.added()


@on_postgresql
async def test_a_connection_lost_before_the_commit_is_not_noticed(stores: Stores, database: SqlDatabase) -> None:
    await stores.added()
    told = await asyncio.gather(
        database.write(Cut(job_id=first_id(AT))),  # before the others, or there is only the commit to notice it
        *(stores.log.add(*accepted()) for _ in range(5)),
    )
    assert told[1:] == [None] * 5
    assert len((await stores.search.page()).jobs) == 6


@on_postgresql
async def test_a_connection_lost_during_the_commit_is_store_unavailable(stores: Stores, database: SqlDatabase) -> None:
    with database.engine.sql.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
        )
        connection.exec_driver_sql(
            "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON audit_event DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION die()"
        )
    told = await asyncio.gather(*(stores.log.add(*accepted()) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in told] == [StoreUnavailable] * 3
    with database.engine.sql.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER die ON audit_event")
    await stores.added()


@on_sqlite
async def test_nothing_personal_is_left_in_sqlites_files_after_an_erasure(
    stores: Stores, database: SqlDatabase
) -> None:
    path = Path(str(database.engine.sql.url.database))
    canary = "canary-4711"
    crowd = [accepted() for _ in range(40)]
    await asyncio.gather(*(stores.log.add(*one) for one in crowd[:20]))
    personal = draft(client=canary, subject=canary, idempotency_key=canary, dedup_key=canary, params={canary: canary})
    job, line = lifecycle.accept(personal, AT)
    await stores.log.add(job, line)
    job = await stores.happened(job, STARTED, FAILED, replace(NOTED, words={"answer": canary * 600}))
    await asyncio.gather(*(stores.log.add(*one) for one in crowd[20:]))
    assert canary.encode() in _all_bytes(path)
    await stores.log.erase(*lifecycle.advance(job, ERASED, AT))
    assert canary.encode() not in _all_bytes(path)
    found, lines = await stores.chain(job.job_id)
    assert verification.verify(found, job.job_id, lines) is None


def _all_bytes(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*")))


async def test_every_commit_is_measured(database: SqlDatabase) -> None:
    def commits() -> float:
        return REGISTRY.get_sample_value("callslip_commit_seconds_count") or 0.0

    before = commits()
    await database.write(probe())
    assert commits() > before
