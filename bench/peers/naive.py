"""The first form that comes to mind: the bytes in memory, a synchronous session on the loop, the bytes in the queue."""

from __future__ import annotations

from fastapi import FastAPI, UploadFile
from redis import Redis
from rq import Queue

from bench.peers import job

queue = Queue("peer", connection=Redis.from_url(job.REDIS))
engine = job.open_engine()
web = FastAPI()


def deliver(_content: bytes, _job_id: str) -> None:
    return None


@web.post("/jobs", status_code=202)
async def submit(file: UploadFile) -> dict[str, str]:
    content = await file.read()
    job_id = job.new_id()
    (job.STORE / job_id).write_bytes(content)
    job.insert(engine, job_id, file)
    queue.enqueue(deliver, content, job_id)
    return {"job_id": job_id}
