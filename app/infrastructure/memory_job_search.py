"""Looking at the jobs in the process's memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime

from app.domain.models import Job, JobId, JobStatus, first_id
from app.domain.protocols import ANY_TIME, LOOKED_THROUGH, Between, JobCounts, JobPage, Mark, Standing
from app.infrastructure.memory_jobs import MemoryJobs
from app.infrastructure.page_cursor import cursor_of, read_cursor


class MemoryJobSearch:
    def __init__(self, memory: MemoryJobs) -> None:
        self._memory = memory

    async def page(
        self,
        *,
        status: JobStatus | None = None,
        workflow: str | None = None,
        text: str = "",
        handed_in: Between = ANY_TIME,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        before = None if cursor is None else read_cursor(cursor)
        jobs = [
            job
            for job in sorted(self._jobs(), key=lambda job: job.job_id, reverse=True)
            if (before is None or job.job_id < before)
            and status in (None, job.status)
            and workflow in (None, job.workflow)
            and _is_between(job, handed_in)
        ]
        named = [job for job in jobs if text and str(job.job_id).startswith(text.lower())]
        if text and not named:
            looked, left = jobs[:LOOKED_THROUGH], jobs[LOOKED_THROUGH:]
            jobs = [job for job in looked if text.lower() in _searched(job)]
            if left and len(jobs) <= limit:
                return JobPage(jobs=jobs, next=cursor_of(looked[-1].job_id))
        jobs = named or jobs
        more = len(jobs) > limit
        return JobPage(jobs=jobs[:limit], next=cursor_of(jobs[limit - 1].job_id) if more else None)

    async def counts(self, overdue_before: Mapping[str, datetime]) -> JobCounts:
        jobs = self._jobs()
        due = [(job.due_at, job.status) for job in jobs if job.due_at]
        return JobCounts(
            by_workflow=dict(Counter((job.workflow, job.status) for job in jobs)),
            oldest_queued_at=min((at for at, status in due if status is JobStatus.QUEUED), default=None),
            oldest_due_at=min((at for at, _ in due), default=None),
            overdue=sum(_is_overdue(job, overdue_before.get(job.workflow)) for job in jobs),
        )

    async def versions(self, job_ids: Collection[JobId]) -> dict[JobId, int]:
        wanted = set(job_ids)
        return {job.job_id: job.version for job in self._jobs() if job.job_id in wanted}

    async def standing(self, dedup_key: str) -> Standing:
        jobs = [job for job in self._jobs() if job.dedup_key == dedup_key]

        def newest(status: JobStatus) -> Mark | None:
            ended = [(job.completed_at, job) for job in jobs if job.status is status and job.completed_at]
            at, job = max(ended, key=lambda one: one[0], default=(None, None))
            return Mark(job_id=job.job_id, version=job.version, at=at) if job and at else None

        unfinished = next((job.job_id for job in jobs if not job.status.ended), None)
        return Standing(success=newest(JobStatus.SUCCESS), failure=newest(JobStatus.FAILURE), unfinished=unfinished)

    async def removable(self, ended_before: datetime, limit: int) -> list[Job]:
        ended = sorted(
            (job.completed_at, job.job_id, job)
            for job in self._jobs()
            if job.completed_at and job.completed_at < ended_before and job.file and not job.file_removed_at
        )
        return [job for _, _, job in ended[:limit]]

    def _jobs(self) -> list[Job]:
        with self._memory.lock:
            return list(self._memory.jobs.values())


def _is_between(job: Job, times: Between) -> bool:
    since, before = times.since, times.before
    return (since is None or job.job_id >= first_id(since)) and (before is None or job.job_id < first_id(before))


def _searched(job: Job) -> str:
    words = (
        job.file.filename if job.file else None,
        job.subject,
        job.execution_id,
        job.result.message,
        job.error.detail if job.error else None,
    )
    return "\n".join(filter(None, words)).lower()


def _is_overdue(job: Job, before: datetime | None) -> bool:
    if before is None or job.delivered_at is None:
        return False
    return job.status is JobStatus.WAITING and job.delivered_at <= before
