"""The agenda of the jobs in the process's memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime

from app.domain.models import Job, JobId, JobStatus
from app.infrastructure.memory_jobs import MemoryJobs, room


class MemoryJobAgenda:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

    async def due(self, at: datetime, limit: int, workflows: Collection[str]) -> list[JobId]:
        held = (JobStatus.PROCESSING, JobStatus.WAITING)
        found = self._longest_due(at, lambda job: job.status in held and job.workflow in workflows)
        return [job.job_id for job in found[:limit]]

    async def startable(
        self,
        at: datetime,
        limit: int,
        rooms: Mapping[str, int],
        *,
        new_before: datetime | None,
        without: Collection[JobId] = (),
        places: Mapping[str, int] | None = None,
    ) -> list[JobId]:
        def wanted(job: Job) -> bool:
            if job.status is not JobStatus.QUEUED or job.workflow not in rooms or job.job_id in without:
                return False
            if job.attempt > 0:
                return True
            if new_before is None or job.created_at >= new_before:
                return False
            return job.subject is None or room(self._memory, job, (places or {}).get(job.workflow, 1))

        left = dict(rooms)
        found: list[JobId] = []
        for job in self._longest_due(at, wanted):
            if left[job.workflow] > 0 and len(found) < limit:
                left[job.workflow] -= 1
                found.append(job.job_id)
        return found

    def _longest_due(self, at: datetime, wanted: Callable[[Job], bool]) -> list[Job]:
        with self._memory.lock:
            due = [(job.due_at, job) for job in self._memory.jobs.values() if job.due_at and wanted(job)]
        ready = sorted((when, job.job_id, job) for when, job in due if when <= at)
        return [job for _, _, job in ready]

    async def erasable(
        self, ended_before: datetime, limit: int, *, only: str | None = None, without: Collection[str] = ()
    ) -> list[Job]:
        with self._memory.lock:
            ended = [(job.completed_at, job) for job in self._memory.jobs.values() if job.completed_at and job.salt]
        found = sorted(
            (at, job.job_id, job)
            for at, job in ended
            if at < ended_before and job.workflow not in without and only in (None, job.workflow)
        )
        return [job for _, _, job in found[:limit]]

    async def renew(self, attempts: Mapping[JobId, int], until: datetime) -> set[JobId]:
        held = set()
        with self._memory.lock:
            for job_id, attempt in attempts.items():
                job = self._memory.jobs.get(job_id)
                if job and job.status is JobStatus.PROCESSING and job.attempt == attempt:
                    self._memory.jobs[job_id] = replace(job, due_at=until)
                    held.add(job_id)
        return held

    async def now(self) -> datetime:
        return self._memory.clock()
