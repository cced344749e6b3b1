"""FastAPI + RQ. Worker: `rq worker` (which forks for each job) or `rq worker --worker-class rq.SimpleWorker`."""

from __future__ import annotations

from fastapi import FastAPI, UploadFile
from redis import Redis
from rq import Queue

from bench.peers import delivery, job

queue = Queue("peer", connection=Redis.from_url(job.REDIS))
engine = job.open_engine()
web = FastAPI()


@web.post("/jobs", status_code=202)
def submit(file: UploadFile) -> dict[str, str]:
    job_id = job.new_id()
    job.save(job_id, file.file)
    job.insert(engine, job_id, file)
    queue.enqueue(delivery.deliver, job_id)
    return {"job_id": job_id}


@web.post("/jobs/{job_id}/callback")
def callback(job_id: str, report: dict[str, str]) -> dict[str, bool]:
    job.finish(engine, job_id)
    return {"applied": report["status"] == "success"}


@web.post("/stock/{count}")
def stock(count: int) -> None:
    for _ in range(count):
        queue.enqueue(delivery.deliver, job.stock())
