"""FastAPI with its own BackgroundTasks: no queue at all. The task does nothing here: only accepting is measured."""

from __future__ import annotations

from fastapi import BackgroundTasks, FastAPI, UploadFile

from bench.peers import job

engine = job.open_engine()
web = FastAPI()


def deliver(_job_id: str) -> None:
    return None


@web.post("/jobs", status_code=202)
def submit(tasks: BackgroundTasks, file: UploadFile) -> dict[str, str]:
    job_id = job.new_id()
    job.save(job_id, file.file)
    job.insert(engine, job_id, file)
    tasks.add_task(deliver, job_id)
    return {"job_id": job_id}
