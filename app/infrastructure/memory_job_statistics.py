"""Figures about the jobs in the process's memory."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.domain.models import Job, JobStatus, first_id
from app.domain.protocols import HourOfJobs
from app.infrastructure.memory_jobs import MemoryJobs

HOUR = timedelta(hours=1)


class MemoryJobStatistics:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

    async def durations(self, workflow: str, limit: int) -> list[timedelta]:
        return _durations([job for job in self._newest() if job.workflow == workflow], limit)

    async def hours(self, since: datetime, count: int, sample: int) -> list[HourOfJobs]:
        jobs, found = self._newest(), []
        for at in (since + number * HOUR for number in range(count)):
            within = [job for job in jobs if first_id(at) <= job.job_id < first_id(at + HOUR)]
            by_status = {status: sum(job.status is status for job in within) for status in JobStatus}
            found.append(HourOfJobs(at=at, by_status=by_status, durations=_durations(within, sample)))
        return found

    def _newest(self) -> list[Job]:
        with self._memory.lock:
            return [job for _, job in sorted(self._memory.jobs.items(), reverse=True)]


def _durations(jobs: list[Job], limit: int) -> list[timedelta]:
    done = [job for job in jobs if job.status is JobStatus.SUCCESS]
    return [job.completed_at - job.created_at for job in done[:limit] if job.completed_at]
