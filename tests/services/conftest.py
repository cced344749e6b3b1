"""A TaskService on memory adapters, with a clock that the test moves and a runner that it scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.errors import DeliveryTrouble
from app.domain.lifecycle import Delivered, Event, Periods, TroubleKind
from app.domain.models import FilePart, Job, JobId, JobResult, Json, ParamPart, Progress
from app.domain.quotas import Quotas
from app.domain.workflow import FileRules, Workflow
from app.infrastructure.memory_file_store import MemoryFileStore
from app.infrastructure.memory_job_agenda import MemoryJobAgenda
from app.infrastructure.memory_job_log import MemoryJobLogStore
from app.infrastructure.memory_job_search import MemoryJobSearch
from app.infrastructure.memory_jobs import MemoryJobs
from app.infrastructure.memory_notice_box import MemoryNoticeBox
from app.infrastructure.memory_queue import MemoryJobFeed, MemoryJobQueue
from app.infrastructure.memory_usage_meter import MemoryUsageMeter
from app.services.callbacks import Callback
from app.services.leases import LeaseKeeper
from app.services.quotas import ClientQuotas
from app.services.slots import Slots
from app.services.task_service import Ports, Submitted, TaskService

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NO_QUOTAS = Quotas()


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at

    def move(self, by: timedelta) -> None:
        self.at += by


def delivered(job: Job) -> Event:
    return Delivered(attempt=job.attempt, due_in=timedelta(minutes=15))


Behaviour = Callable[[Job], Event]


@dataclass
class ScriptedRunner:
    """Does what it is told for each attempt, the last for all that follow; remembers what it was asked."""

    script: list[Behaviour] = field(default_factory=lambda: [delivered])
    answer: Behaviour | None = None
    ran: list[Job] = field(default_factory=list)
    asked: list[JobId] = field(default_factory=list)
    stopped: list[tuple[JobId, str | None]] = field(default_factory=list)
    hold: asyncio.Event | None = None
    quiet: asyncio.Event | None = None
    busy: int = 0

    async def run(self, job: Job) -> Event:
        self.ran.append(job)
        self.busy += 1
        try:
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.busy -= 1
        return (self.script.pop(0) if len(self.script) > 1 else self.script[0])(job)

    async def ask(self, job: Job) -> Event | None:
        self.asked.append(job.job_id)
        if self.quiet is not None:
            await self.quiet.wait()
        return self.answer(job) if self.answer else None

    async def stop(self, job: Job) -> None:
        self.stopped.append((job.job_id, job.execution_id))


def accept_all(params: Mapping[str, Json]) -> Mapping[str, Json]:
    return params


def workflow(name: str = "n8n_notion", **changes: object) -> Workflow:
    base: dict[str, object] = {
        "name": name,
        "title": name,
        "schema": {},
        "check": accept_all,
        "file": FileRules(max_size=1000),
        "periods": Periods(),
    }
    return Workflow(**(base | changes))  # type: ignore[arg-type]


async def parts(*given: ParamPart | tuple[str, bytes]) -> AsyncIterator[ParamPart | FilePart]:
    async def chunks(content: bytes) -> AsyncIterator[bytes]:
        yield content

    for one in given:
        yield one if isinstance(one, ParamPart) else FilePart(one[0], chunks(one[1]))


class Bench:
    """Everything around one TaskService."""

    def __init__(self, *workflows: Workflow, quotas: Quotas = NO_QUOTAS) -> None:
        self.clock, self.jobs, self.runner = Clock(), MemoryJobs(), ScriptedRunner()
        self.log = MemoryJobLogStore(self.jobs, keep_notices=True)
        self.agenda, self.search = MemoryJobAgenda(self.jobs), MemoryJobSearch(self.jobs)
        self.notices = MemoryNoticeBox(self.jobs)
        self.queue, self.files = MemoryJobQueue(), MemoryFileStore()
        self.feed = MemoryJobFeed(self.search.versions)
        self.workflows = {one.name: one for one in workflows or (workflow(),)}
        self.ports = Ports(
            log=self.log,
            agenda=self.agenda,
            search=self.search,
            queue=self.queue,
            feed=self.feed,
            files=self.files,
            workflows=self.workflows,
            runners=dict.fromkeys(self.workflows, self.runner),
            clock=self.clock,
        )
        self.leases = LeaseKeeper(self.agenda, self.log, self.clock, 10 * SECOND, timedelta(milliseconds=20))
        slots = Slots({name: one.in_flight for name, one in self.workflows.items()}, 100)
        self.tasks = TaskService(
            self.ports,
            leases=self.leases,
            slots=slots,
            max_size=10_000,
            quotas=ClientQuotas(MemoryUsageMeter(self.jobs), self.clock, quotas),
        )

    async def submit(self, content: bytes = b"bytes", key: str | None = None, **params: Json) -> Submitted:
        named = [ParamPart(name, value) for name, value in params.items()]
        return await self.tasks.submit("me", parts(*named, ("a.txt", content)), key)

    async def job(self, content: bytes = b"bytes") -> JobId:
        return (await self.submit(content)).job.job_id

    async def get(self, job_id: JobId) -> Job:
        return await self.log.get(job_id)

    async def sweep(self, free: int = 100) -> list[JobId]:
        return await self.tasks.sweep(free, self.clock())

    async def types(self, job_id: JobId) -> list[str]:
        return [line.type for line in await self.log.history(job_id)]


SUCCESS = Callback(status="success", progress=Progress(), result=JobResult(message="Page created"))
PROGRESS = Callback(status="processing", progress=Progress(fraction=0.4), result=JobResult())


def trouble(kind: TroubleKind, words: str = "503 Service Unavailable") -> Behaviour:
    def behave(_: Job) -> Event:
        raise DeliveryTrouble(kind, words)

    return behave


async def settle(until: Callable[[], object] | None = None, rounds: int = 200) -> None:
    for _ in range(rounds):
        if until and until():
            return
        await asyncio.sleep(0.005 if until else 0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.tasks.close()
