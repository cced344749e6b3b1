"""FastAPI + arq. Worker: `arq bench.peers.arq.WorkerSettings`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, UploadFile

from bench.peers import delivery, job


async def deliver(_context: dict[str, Any], job_id: str) -> None:
    await delivery.deliver_async(job_id)


class WorkerSettings:
    functions = (deliver,)
    redis_settings = RedisSettings.from_dsn(job.REDIS)
    max_jobs = 100
    poll_delay = 0.05
    keep_result = 0


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.queue = await create_pool(WorkerSettings.redis_settings)
    app.state.engine = job.open_async_engine()
    yield
    await app.state.engine.dispose()


web = FastAPI(lifespan=lifespan)


@web.post("/jobs", status_code=202)
async def submit(file: UploadFile) -> dict[str, str]:
    job_id = job.new_id()
    await job.save_async(job_id, file)
    await job.insert_async(web.state.engine, job_id, file)
    await web.state.queue.enqueue_job("deliver", job_id)
    return {"job_id": job_id}


@web.post("/stock/{count}")
async def stock(count: int) -> None:
    for _ in range(count):
        await web.state.queue.enqueue_job("deliver", job.stock())
