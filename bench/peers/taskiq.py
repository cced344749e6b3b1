"""FastAPI + taskiq. Worker: `taskiq worker bench.peers.taskiq:broker`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, UploadFile
from taskiq_redis import ListQueueBroker

from bench.peers import delivery, job

broker = ListQueueBroker(job.REDIS)


@broker.task
async def deliver(job_id: str) -> None:
    await delivery.deliver_async(job_id)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    app.state.engine = job.open_async_engine()
    yield
    await app.state.engine.dispose()
    await broker.shutdown()


web = FastAPI(lifespan=lifespan)


@web.post("/jobs", status_code=202)
async def submit(file: UploadFile) -> dict[str, str]:
    job_id = job.new_id()
    await job.save_async(job_id, file)
    await job.insert_async(web.state.engine, job_id, file)
    await deliver.kiq(job_id)
    return {"job_id": job_id}


@web.post("/stock/{count}")
async def stock(count: int) -> None:
    for _ in range(count):
        await deliver.kiq(job.stock())
