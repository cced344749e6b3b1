"""FastAPI + Celery. Worker: `celery -A bench.peers.celery:tasks worker`."""

from __future__ import annotations

from celery import Celery
from fastapi import FastAPI, UploadFile

from bench.peers import delivery, job

tasks = Celery("peer", broker=job.REDIS)
tasks.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
engine = job.open_engine()
web = FastAPI()


@tasks.task(name="deliver")
def deliver(job_id: str) -> None:
    delivery.deliver(job_id)


@web.post("/jobs", status_code=202)
def submit(file: UploadFile) -> dict[str, str]:
    job_id = job.new_id()
    job.save(job_id, file.file)
    job.insert(engine, job_id, file)
    deliver.delay(job_id)
    return {"job_id": job_id}


@web.post("/jobs/{job_id}/callback")
def callback(job_id: str, report: dict[str, str]) -> dict[str, bool]:
    job.finish(engine, job_id)
    return {"applied": report["status"] == "success"}


@web.post("/stock/{count}")
def stock(count: int) -> None:
    for _ in range(count):
        deliver.delay(job.stock())
