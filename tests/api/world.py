"""The application on memory adapters, with a clock that can be moved and a job that can be pushed on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from app.api import create_app
from app.domain import lifecycle
from app.domain.errors import FieldProblem, Invalid
from app.domain.lifecycle import Delivered, Event, Started
from app.domain.models import Job, JobId, Json
from app.domain.quotas import Quotas
from app.domain.signing import Capabilities, Scope
from app.domain.workflow import FileRules, Workflow
from app.infrastructure.calendar_cron import CronCalendar
from app.infrastructure.checkpoint_book_file import FileCheckpointBook
from app.infrastructure.file_store_local import LocalFileStore
from app.infrastructure.memory_job_agenda import MemoryJobAgenda
from app.infrastructure.memory_job_log import MemoryJobLogStore
from app.infrastructure.memory_job_search import MemoryJobSearch
from app.infrastructure.memory_job_statistics import MemoryJobStatistics
from app.infrastructure.memory_jobs import MemoryJobs
from app.infrastructure.memory_queue import MemoryJobFeed, MemoryJobQueue
from app.infrastructure.memory_schedule_book import MemoryScheduleBook
from app.infrastructure.memory_timeline import MemoryTimeline
from app.infrastructure.memory_usage_meter import MemoryUsageMeter
from app.infrastructure.signer_ed25519 import Ed25519Signer
from app.services import Services, UploadLimits
from app.services.checkpoints import CheckpointKeeper
from app.services.counts import Counts
from app.services.estimates import Estimates
from app.services.freshness import FreshnessService
from app.services.housekeeping import Housekeeping
from app.services.leases import LeaseKeeper
from app.services.quotas import ClientQuotas
from app.services.schedules import ScheduleService
from app.services.slots import Slots
from app.services.task_service import Ports, TaskService

KEY = "ada-key-0123456789abcdefgh"
OTHER_KEY = "bob-key-0123456789abcdefgh"
SECRET = b"callback-secret-0123456789abcdef"
AUTH = {"Authorization": f"Bearer {KEY}"}
MAX_SIZE = 200_000
UPLOAD = UploadLimits(
    max_size=MAX_SIZE,
    max_concurrent=4,
    min_rate=1000,
    rate_window=timedelta(seconds=1),
    idle_timeout=timedelta(milliseconds=600),
)


@dataclass(slots=True)
class Clock:
    """This machine's time, moved by `ahead`."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def check_page(params: Mapping[str, Json]) -> Mapping[str, Json]:
    return _only("notion_database_id", params)


def check_question(params: Mapping[str, Json]) -> Mapping[str, Json]:
    return _only("question", params)


def _only(name: str, params: Mapping[str, Json]) -> Mapping[str, Json]:
    problems = [FieldProblem(key, "is no parameter of this workflow") for key in params if key != name]
    problems += [FieldProblem(key, "must be text") for key, value in params.items() if not isinstance(value, str)]
    if problems:
        raise Invalid("the parameters were refused", problems)
    return params


WORKFLOWS = {
    workflow.name: workflow
    for workflow in (
        Workflow(
            name="n8n_notion",
            title="To Notion",
            schema={"type": "object", "properties": {"notion_database_id": {"type": "string"}}},
            check=check_page,
            file=FileRules(max_size=150_000, media_types=("image/png", "text/plain", "text/html", "image/svg+xml")),
        ),
        Workflow(name="any", title="Any file", schema={}, check=check_page, file=FileRules(max_size=10**9)),
        Workflow(name="question", title="A question", schema={}, check=check_question),
    )
}


@dataclass(slots=True)
class World:
    """What a test sees and moves."""

    root: Path
    clock: Clock = field(default_factory=Clock)
    capabilities: Capabilities = field(default_factory=lambda: Capabilities((b"k" * 32,)))
    changes: dict[str, Any] = field(default_factory=dict)
    quotas: Quotas = field(default_factory=Quotas)
    services: Services = field(init=False)
    memory: MemoryJobs = field(init=False)

    def __post_init__(self) -> None:
        self.memory = MemoryJobs(clock=self.clock)

    def app(self) -> FastAPI:
        return create_app(self.open)

    @property
    def open(self) -> Callable[[], AbstractAsyncContextManager[Services]]:
        return asynccontextmanager(self._open)

    async def _open(self) -> AsyncIterator[Services]:
        log, search = MemoryJobLogStore(self.memory, keep_notices=False), MemoryJobSearch(self.memory)
        statistics = MemoryJobStatistics(self.memory)
        agenda, files = MemoryJobAgenda(self.memory), LocalFileStore(self.root, min_free=0)
        async with MemoryJobFeed(search.versions, timedelta(milliseconds=50)) as feed:
            queue, clock = MemoryJobQueue(), self.clock
            ports = Ports(
                log=log, agenda=agenda, search=search, queue=queue, feed=feed, files=files,
                workflows=WORKFLOWS, runners={}, clock=clock,
            )  # fmt: skip
            leases = LeaseKeeper(agenda, log, clock, timedelta(seconds=10), timedelta(seconds=3))
            quotas = ClientQuotas(MemoryUsageMeter(self.memory), clock, self.quotas)
            tasks = TaskService(ports, leases=leases, slots=Slots({}, 1), max_size=MAX_SIZE, quotas=quotas)
            services = Services(
                tasks=tasks,
                schedules=ScheduleService(MemoryScheduleBook(), tasks.submit, WORKFLOWS, CronCalendar(), clock),
                freshness=FreshnessService(tasks, ports),
                notices=None,
                housekeeping=Housekeeping(log, search, files, clock, None, timedelta(days=1)),
                log=log,
                agenda=agenda,
                search=search,
                counts=Counts(search, WORKFLOWS, clock),
                statistics=statistics,
                estimates=Estimates(statistics, clock),
                queue=queue,
                feed=feed,
                files=files,
                workflows=WORKFLOWS,
                capabilities=self.capabilities,
                signer=(signer := Ed25519Signer(self.root / "signing.key")),
                checkpoints=CheckpointKeeper(
                    MemoryTimeline(self.memory),
                    FileCheckpointBook(self.root / "checkpoints"),
                    signer,
                    clock,
                    timedelta(minutes=1),
                ),
                api_keys={"ada": [KEY], "bob": [OTHER_KEY]},
                callback_secrets=(SECRET,),
                clock=clock,
                link_ttl=timedelta(days=7),
                public_url="http://callslip.test",
                upload=UPLOAD,
                database_check=self.database_answers,
            )
            self.services = replace(services, **self.changes)
            yield self.services

    async def database_answers(self) -> None:
        """The memory always does."""

    def files(self) -> list[Path]:
        """Every file that is kept, or half received."""
        return [path for path in self.root.rglob("*") if path.is_file()]

    async def advance(self, job_id: JobId, event: Event) -> Job:
        job, line = lifecycle.advance(await self.services.log.get(job_id), event, self.clock())
        await self.services.log.record(job, line)
        self.services.feed.tell(job_id)
        return job

    async def deliver(self, job_id: JobId) -> Job:
        """Makes the job wait for its callback."""
        await self.advance(job_id, Started(lease=timedelta(seconds=10)))
        return await self.advance(job_id, Delivered(due_in=timedelta(minutes=15), execution_id="41"))

    def token(self, scope: Scope, job_id: JobId) -> str:
        return self.capabilities.grant(scope, job_id)
