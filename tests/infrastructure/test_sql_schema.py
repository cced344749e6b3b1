"""The schema: made by migrations alone, the same on both databases, and guarding what must never change."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.domain import verification
from app.domain.errors import Misconfigured, StoreUnavailable
from app.domain.models import JobStatus
from app.domain.quotas import Quota, Quotas, Unit
from app.infrastructure import sql_walk
from app.infrastructure.job_agenda_sql import SqlJobAgenda
from app.infrastructure.job_search_sql import SqlJobSearch
from app.infrastructure.sql_columns import JOB_COLUMNS, LINE_COLUMNS
from app.infrastructure.sql_database import Query, SqlDatabase
from app.infrastructure.sql_engine import open_engine
from app.infrastructure.sql_revision import MIGRATIONS, newest_revision, revision_is_current
from app.infrastructure.sql_rows import Row
from app.infrastructure.sql_schema import alembic_config, migrate
from app.infrastructure.sql_tables import Table
from app.infrastructure.usage_meter_sql import SqlUsageMeter
from tests.contracts.sql_fixtures import Stores, new_postgresql_database, on_postgresql, sql_stores
from tests.jobs import AT, CANCELLED, COMPLETED, DELIVERED, FAILED, STARTED

ROOT = MIGRATIONS.parent


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/jobs.db"
        return
    url, drop = new_postgresql_database(request.getfixturevalue("postgresql_server"))
    yield url
    drop()


@pytest.fixture
def stores(database: SqlDatabase) -> Stores:
    return sql_stores(database)


@pytest.fixture
def sql(database: SqlDatabase) -> Callable[[str], None]:
    """Runs a statement past the adapters, as a careless person would."""

    def run(statement: str) -> None:
        with database.engine.sql.begin() as connection:
            connection.exec_driver_sql(statement)

    return run


def test_autogenerate_finds_no_difference(database_url: str) -> None:
    engine = open_engine(database_url).sql
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Table.metadata) == []


def test_statements_name_the_columns_of_the_tables_in_their_order() -> None:
    tables = Table.metadata.tables
    assert tuple(tables["job_log"].columns.keys()) == JOB_COLUMNS
    assert tuple(tables["audit_event"].columns.keys()) == LINE_COLUMNS


def test_indexes_and_checks_have_the_conditions_of_the_tables(database_url: str) -> None:
    """Autogenerate does not compare these."""
    engine = open_engine(database_url).sql
    made, declared = sa.MetaData(), Table.metadata
    made.reflect(engine)
    for name, table in declared.tables.items():
        assert _conditions(made.tables[name], engine.dialect.name) == _conditions(table, engine.dialect.name)


def _conditions(table: sa.Table, dialect: str) -> dict[str, list[str]]:
    found = {str(index.name): _words(index.dialect_options[dialect].get("where")) for index in table.indexes}
    checks = [one for one in table.constraints if isinstance(one, sa.CheckConstraint)]
    return found | {str(check.name): _words(check.sqltext) for check in checks}


def _words(condition: object) -> list[str]:
    """The names, numbers and values of a condition: PostgreSQL writes it down in words of its own."""
    text = re.sub(r"::\w+(\[\])?|\bARRAY\b|\bANY\b|\bIN\b|\btext\b", "", "" if condition is None else str(condition))
    return re.findall(r"\w+", text)


def test_migrating_again_changes_nothing(database_url: str) -> None:
    assert revision_is_current(database_url)
    migrate(database_url)
    assert revision_is_current(database_url)


def test_processes_that_migrate_at_once_wait_for_each_other(empty_url: str) -> None:
    program = f"from app.infrastructure.sql_schema import migrate; migrate({empty_url!r})"
    running = [subprocess.Popen([sys.executable, "-W", "error", "-c", program], cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert revision_is_current(empty_url)


def test_a_migration_can_be_taken_back(empty_url: str) -> None:
    migrate(empty_url)
    engine = open_engine(empty_url).sql
    config = alembic_config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert set(sa.inspect(engine).get_table_names()) == {"alembic_version"}
    migrate(empty_url)
    assert revision_is_current(empty_url)


def test_alembic_runs_by_hand(empty_url: str) -> None:
    command_line = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(command_line, cwd=ROOT, env={"DATABASE_URL": empty_url}, check=True, capture_output=True)
    assert revision_is_current(empty_url)


def test_the_start_is_refused_on_an_old_schema(empty_url: str) -> None:
    assert not revision_is_current(empty_url)
    with pytest.raises(Misconfigured, match="alembic upgrade head"):
        SqlDatabase(empty_url).check()


def test_migrating_a_server_that_is_away_says_so() -> None:
    with pytest.raises(StoreUnavailable):
        migrate("postgresql://nobody@127.0.0.1:1/nothing")


def test_migrations_are_named_by_date() -> None:
    names = [path.name for path in (MIGRATIONS / "versions").glob("*.py")]
    assert names
    assert all(re.fullmatch(r"\d{4}_\d\d_\d\d_\d+_\w+\.py", name) for name in names)


@pytest.mark.parametrize("statement", ["UPDATE audit_event SET type = 'Noted'", "DELETE FROM audit_event"])
async def test_a_trigger_refuses_to_change_or_remove_a_line(
    stores: Stores, sql: Callable[[str], None], statement: str
) -> None:
    job = await stores.added(STARTED)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        sql(statement)
    found, lines = await stores.chain(job.job_id)
    assert verification.verify(found, job.job_id, lines) is None


async def test_a_trigger_refuses_to_remove_a_job(stores: Stores, sql: Callable[[str], None]) -> None:
    await stores.added()
    with pytest.raises(sa.exc.DBAPIError, match="never deleted"):
        sql("DELETE FROM job_log")


@on_postgresql
async def test_postgresql_refuses_to_truncate(
    stores: Stores, sql: Callable[[str], None], database: SqlDatabase
) -> None:
    await stores.added()
    for table in ("audit_event", "job_log"):
        with pytest.raises(sa.exc.DBAPIError, match=r"append-only|never deleted"):
            sql(f"TRUNCATE {table}")


async def test_a_trigger_refuses_to_leave_a_final_status(stores: Stores, sql: Callable[[str], None]) -> None:
    histories = {"success": [STARTED, COMPLETED], "cancelled": [CANCELLED], "failure": [FAILED]}
    for status, events in histories.items():
        job = await stores.added(*events)
        for other in JobStatus:
            if other == status or (status, other) == ("failure", "success"):
                continue
            due_at = "NULL" if other.ended else "created_at"
            with pytest.raises(sa.exc.DBAPIError, match="has ended"):
                sql(f"UPDATE job_log SET status = '{other}', due_at = {due_at} WHERE job_id = '{job.job_id}'")
        sql(f"UPDATE job_log SET status = '{status}' WHERE job_id = '{job.job_id}'")


async def test_a_failure_yields_to_a_success(stores: Stores, sql: Callable[[str], None]) -> None:
    job = await stores.added(FAILED)
    sql(f"UPDATE job_log SET status = 'success' WHERE job_id = '{job.job_id}'")


async def test_a_check_refuses_an_unfinished_job_without_a_due_time(stores: Stores, sql: Callable[[str], None]) -> None:
    await stores.added(STARTED, DELIVERED)
    with pytest.raises(sa.exc.IntegrityError, match="due_at"):
        sql("UPDATE job_log SET due_at = NULL")
    with pytest.raises(sa.exc.IntegrityError, match="due_at"):
        sql("UPDATE job_log SET status = 'failure'")


async def test_a_check_refuses_a_status_that_does_not_exist(stores: Stores, sql: Callable[[str], None]) -> None:
    await stores.added()
    with pytest.raises(sa.exc.IntegrityError, match="ck_job_log_status"):
        sql("UPDATE job_log SET status = 'expired'")


async def test_a_walk_finds_lines_without_a_row_and_a_row_without_lines(
    stores: Stores, sql: Callable[[str], None], database: SqlDatabase
) -> None:
    lineless, rowless, whole = [await stores.added() for _ in range(3)]
    if database.engine.name == "sqlite":
        sql("DROP TRIGGER audit_event_stays")
        sql("DROP TRIGGER job_log_stays")
    else:
        sql("ALTER TABLE audit_event DISABLE TRIGGER USER")
        sql("ALTER TABLE job_log DISABLE TRIGGER USER")
    sql(f"DELETE FROM audit_event WHERE job_id = '{lineless.job_id}'")
    sql(f"DELETE FROM job_log WHERE job_id = '{rowless.job_id}'")
    kinds = {}
    async for job_id, job, lines, _ in stores.log.walk():
        finding = verification.verify(job, job_id, lines)
        kinds[job_id] = finding.kind if finding else None
    assert kinds == {lineless.job_id: "truncated", rowless.job_id: "row missing", whole.job_id: None}
    assert (await stores.chain(rowless.job_id))[0] is None


async def test_what_no_service_would_store_is_told_and_breaks_nothing(
    stores: Stores, sql: Callable[[str], None], database: SqlDatabase
) -> None:
    loose, idle, whole = [await stores.added() for _ in range(3)]
    sql(f"INSERT INTO audit_detail (job_id, version, body) VALUES ('{loose.job_id}', 9, '{{}}')")
    sql(f"UPDATE job_log SET trouble_count = 3 WHERE job_id = '{idle.job_id}'")
    kinds = {loose.job_id: "detail changed", idle.job_id: "row changed", whole.job_id: None}
    if database.engine.name == "sqlite":  # which keeps any type in any column
        odd, unreadable, nameless = [await stores.added() for _ in range(3)]
        sql("DROP TRIGGER audit_event_keeps")
        sql(f"UPDATE audit_event SET version = 'one', at = 'noon' WHERE job_id = '{odd.job_id}'")
        sql(f"UPDATE job_log SET created_at = 'noon' WHERE job_id = '{unreadable.job_id}'")
        sql(f"UPDATE audit_event SET job_id = 'nobody' WHERE job_id = '{nameless.job_id}'")
        kinds |= {odd.job_id: "changed", unreadable.job_id: "row changed", nameless.job_id: "truncated"}
        kinds[sql_walk.NO_JOB] = "moved"
    found = {}
    async for job_id, job, lines, strays in stores.log.walk():
        finding = verification.verify(job, job_id, lines, strays)
        found[job_id] = finding.kind if finding else None
    assert found == kinds


async def test_a_walk_goes_on_from_page_to_page(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = sorted([(await stores.added()).job_id for _ in range(9)])
    monkeypatch.setattr(sql_walk, "_BOUND", sql_walk.bound(lines=2, jobs=3))
    assert [job_id async for job_id, _, _, _ in stores.log.walk()] == jobs


async def test_a_long_history_is_cut_into_parts(
    stores: Stores, database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = sorted([(await stores.added()).job_id for _ in range(8)])
    assert await sql_walk.cuts(database, 4) == []
    monkeypatch.setattr(sql_walk, "WORTH_CUTTING", 8)
    assert await sql_walk.cuts(database, 4) == [jobs[2], jobs[4], jobs[6]]


MANY = {
    "sqlite": "INSERT INTO job_log SELECT {columns} FROM job_log, (WITH RECURSIVE n(i) AS"
    " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT printf('%08x-0000-7000-8000-000000000000', i)"
    " AS other FROM n)",
    "postgresql": "INSERT INTO job_log SELECT {columns} FROM job_log, (SELECT gen_random_uuid() AS other"
    " FROM generate_series(1, 20000)) AS ids",
}


async def test_what_is_asked_every_second_or_by_every_reader_is_found_by_an_index(
    stores: Stores, database: SqlDatabase, sql: Callable[[str], None]
) -> None:
    await stores.added(STARTED, DELIVERED, COMPLETED)
    columns = ", ".join("other" if name == "job_id" else name for name in JOB_COLUMNS)
    sql(MANY[database.engine.name].format(columns=columns))
    for _ in range(5):
        await stores.added(STARTED)
    sql("INSERT INTO joined_key SELECT 'ada', CAST(job_id AS text), 'f', job_id FROM job_log")
    sql("ANALYZE")
    asked = Asked(database)
    agenda, search = SqlJobAgenda(asked), SqlJobSearch(asked)
    await agenda.due(AT, 10, ["n8n_notion"])
    await agenda.startable(AT, 10, {"n8n_notion": 10}, new_before=AT)
    meter = SqlUsageMeter(asked)
    hour, day = (
        Quota(name="jobs", most=9, window=timedelta(hours=1)),
        Quota(name="bytes", most=9, window=timedelta(hours=1), unit=Unit.BYTES),
    )
    await meter.usage(
        "ada", Quotas(jobs=hour, volume=day, unfinished=Quota(name="open", most=9)), AT + timedelta(days=1)
    )
    await meter.last_of("ada", day, AT + timedelta(days=1), 1)
    await meter.knows("ada", "key")
    await agenda.erasable(AT, 10)
    await agenda.erasable(AT, 10, only="n8n_notion")
    await search.page()
    await search.page(cursor=(await search.page(limit=1)).next)
    await search.page(status=JobStatus.QUEUED)
    await search.page(workflow="n8n_notion", status=JobStatus.FAILURE)
    await search.removable(AT, 10)
    await search.standing("report:tides")
    for query, values in asked.queries:
        explain = "EXPLAIN QUERY PLAN " if database.engine.name == "sqlite" else "EXPLAIN "
        plan = str(await database.rows(explain + query, values))
        assert re.search(r"(USING (COVERING )?INDEX|Index (Only )?Scan)", plan), (query, plan)
        assert not re.search(r"SCAN job_log'|Seq Scan|TEMP B-TREE", plan), (query, plan)


class Asked(SqlDatabase):
    """Remembers what another database is asked."""

    def __init__(self, database: SqlDatabase) -> None:
        self.engine, self._database, self.queries = database.engine, database, list[Query]()

    async def snapshot(self, queries: Sequence[Query], *, quick: bool = False) -> list[list[Row]]:
        self.queries.extend(queries)
        return await self._database.snapshot(queries, quick=quick)


def test_the_newest_revision_is_the_one_that_alembic_says() -> None:
    assert [newest_revision()] == ScriptDirectory.from_config(alembic_config()).get_heads()
