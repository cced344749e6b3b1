"""What finished steps made, in the process's memory."""

from __future__ import annotations

from app.domain.errors import StaleAttempt
from app.domain.models import JobId, JobStatus
from app.domain.protocols import StepOutput
from app.infrastructure.memory_jobs import MemoryJobs


class MemoryStepStore:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

    async def keep(self, job_id: JobId, attempt: int, done: StepOutput) -> None:
        with self._memory.lock:
            job = self._memory.jobs.get(job_id)
            if job is None or job.status is not JobStatus.PROCESSING or job.attempt != attempt:
                raise StaleAttempt(f"the job is not being processed in attempt {attempt}")
            self._memory.outputs.setdefault(job_id, {}).setdefault(done.step, done)

    async def kept(self, job_id: JobId) -> list[StepOutput]:
        with self._memory.lock:
            return [done for _, done in sorted(self._memory.outputs.get(job_id, {}).items())]
