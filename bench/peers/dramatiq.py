"""FastAPI + dramatiq. Worker: `dramatiq bench.peers.dramatiq`."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from fastapi import FastAPI, UploadFile

from bench.peers import delivery, job

dramatiq.set_broker(RedisBroker(url=job.REDIS))
engine = job.open_engine()
web = FastAPI()


@dramatiq.actor
def deliver(job_id: str) -> None:
    delivery.deliver(job_id)


@web.post("/jobs", status_code=202)
def submit(file: UploadFile) -> dict[str, str]:
    job_id = job.new_id()
    job.save(job_id, file.file)
    job.insert(engine, job_id, file)
    deliver.send(job_id)
    return {"job_id": job_id}


@web.post("/stock/{count}")
def stock(count: int) -> None:
    for _ in range(count):
        deliver.send(job.stock())
