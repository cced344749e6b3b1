"""An AsyncWorker on a real Valkey, a far side that can be held up, and RQ's books read with RQ's own classes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from rq import Queue, Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from app.domain.errors import StoreUnavailable
from app.domain.models import JobId
from app.infrastructure.queue_rq import RqJobQueue
from app.infrastructure.worker_rq import AsyncWorker, HeadOfQueue
from tests.contracts.redis_fixtures import RealValkey

NOTHING = {"queued": 0, "intermediate": 0, "started": 0, "finished": 0, "failed": 0, "executions": 0, "indexed": 0}


class Work:
    """A far side that can be held up, and a job log from which a sweep may take."""

    def __init__(self) -> None:
        self.ran: Counter[JobId] = Counter()
        self.now = self.most = 0
        self.open = asyncio.Event()
        self.open.set()
        self.bad: set[JobId] = set()
        self.due: list[JobId] = []
        self.offers: list[tuple[int, HeadOfQueue]] = []
        self.store_down = False

    async def run(self, job_id: JobId) -> None:
        self.ran[job_id] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.open.wait()
            if job_id in self.bad:
                raise ValueError("a secret")
        finally:
            self.now -= 1

    async def take(self, free: int, head: HeadOfQueue) -> Sequence[JobId]:
        self.offers.append((free, head))
        if self.store_down:
            raise StoreUnavailable("the database does not answer")
        taken, self.due = self.due[:free], self.due[free:]
        return taken


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def queue(valkey: RealValkey) -> AsyncIterator[RqJobQueue]:
    made = RqJobQueue(valkey.url, "q")
    yield made
    await made.close()


def roomy(_: int) -> int:
    """There is always room."""
    return 10_000


@asynccontextmanager
async def serving(
    url: str,
    work: Work,
    *,
    concurrency: int = 20,
    every: float = 0.1,
    drain: float = 2,
    run: Callable[[JobId], Awaitable[None]] | None = None,
    room: Callable[[int], int] = roomy,
) -> AsyncIterator[AsyncWorker]:
    stop = asyncio.Event()
    worker = AsyncWorker(
        url,
        "q",
        run=run or work.run,
        take=work.take,
        room=room,
        concurrency=concurrency,
        sweep_every=timedelta(seconds=every),
        drain_timeout=timedelta(seconds=drain),
    )
    task = asyncio.create_task(worker.serve(stop))
    try:
        yield worker
    finally:
        stop.set()
        await asyncio.wait_for(task, drain + 10)


async def until(holds: Callable[[], bool], within: float = 5) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.01)


def books(valkey: RealValkey) -> dict[str, int]:
    client = valkey.client
    queue = Queue("q", connection=client, serializer=JSONSerializer)
    return {
        "queued": client.llen(queue.key),
        "intermediate": client.llen(queue.intermediate_queue_key),
        **{
            name: registry(queue=queue).get_job_count(cleanup=False)
            for name, registry in (
                ("started", StartedJobRegistry),
                ("finished", FinishedJobRegistry),
                ("failed", FailedJobRegistry),
            )
        },
        "executions": len(client.keys("rq:execution:*")) + len(client.keys("rq:executions:*")),
        "indexed": sum(client.scard(key) for key in client.keys("rq:worker:*:executions")),
    }


def workers(valkey: RealValkey) -> list[Worker]:
    return Worker.all(connection=valkey.client, serializer=JSONSerializer)


def fetch(valkey: RealValkey, job_id: JobId) -> Job:
    return Job.fetch(str(job_id), connection=valkey.client, serializer=JSONSerializer)
