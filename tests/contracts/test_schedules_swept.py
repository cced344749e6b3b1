"""Several processes that sweep one database hand in each due time once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from app.domain.models import Job
from app.domain.quotas import Quotas
from app.domain.workflow import Workflow
from app.infrastructure.calendar_cron import CronCalendar
from app.infrastructure.memory_file_store import MemoryFileStore
from app.infrastructure.memory_queue import MemoryJobFeed, MemoryJobQueue
from app.infrastructure.schedule_book_sql import SqlScheduleBook
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.usage_meter_sql import SqlUsageMeter
from app.services.leases import LeaseKeeper
from app.services.quotas import ClientQuotas
from app.services.schedules import ScheduleService
from app.services.slots import Slots
from app.services.task_service import Ports, TaskService
from tests.contracts.sql_fixtures import sql_stores
from tests.services.conftest import workflow

WORKFLOWS: Mapping[str, Workflow] = {"research": workflow("research", file=None)}
START = datetime(2026, 10, 24, 23, 59, tzinfo=UTC)  # the clocks of Europe are put back an hour later
MINUTE = timedelta(minutes=1)


class Sweeper:
    """One process: its own connections, and a clock that is a little off."""

    def __init__(self, url: str, ahead: timedelta) -> None:
        self.now, self.database = START + ahead, SqlDatabase(url)
        stores = sql_stores(self.database)
        self.search = stores.search
        ports = Ports(
            log=stores.log,
            agenda=stores.agenda,
            search=stores.search,
            queue=MemoryJobQueue(),
            feed=MemoryJobFeed(stores.search.versions),
            files=MemoryFileStore(),
            workflows=WORKFLOWS,
            runners={},
            clock=self.clock,
        )
        leases = LeaseKeeper(stores.agenda, stores.log, self.clock, 10 * MINUTE, MINUTE)
        quotas = ClientQuotas(SqlUsageMeter(self.database), self.clock, Quotas())
        tasks = TaskService(ports, leases=leases, slots=Slots({}, 1), max_size=1, quotas=quotas)
        book = SqlScheduleBook(self.database)
        self.schedules = ScheduleService(book, tasks.submit, WORKFLOWS, CronCalendar(), self.clock)

    def clock(self) -> datetime:
        return self.now

    async def jobs(self) -> list[Job]:
        return (await self.search.page(limit=200)).jobs


async def test_each_due_time_makes_one_job_however_many_sweep(database_url: str) -> None:
    sweepers = [Sweeper(database_url, number * timedelta(seconds=1)) for number in range(3)]
    for number in range(4):
        await sweepers[0].schedules.add("ada", "*/5 * * * *", "Europe/Berlin", "research", {"topic": str(number)})
    for _ in range(12):
        for one in sweepers:
            one.now += MINUTE
        await asyncio.gather(*(one.schedules.sweep() for one in sweepers for _ in "12"))
    jobs = await sweepers[0].jobs()
    assert sorted(str(job.params["topic"]) for job in jobs) == [str(number) for number in range(4) for _ in range(3)]
    for one in sweepers:
        await one.database.close()
