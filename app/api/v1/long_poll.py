"""Holding an answer until a job changes."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

from starlette.types import Receive

from app.api.streams import departure, heard
from app.api.v1.conditional import matches
from app.api.v1.views import is_overdue, job_etag, periods_of
from app.domain.models import Job, JobId, JobStatus
from app.services import Services


async def job_after(services: Services, job_id: JobId, known: str | None, wait: float, receive: Receive) -> Job:
    """The job, held for up to `wait` seconds until its version or its being overdue changes, or the client leaves.

    At once when it differs from `known` (an If-None-Match header) already, or has ended and nothing is known of it.
    """
    if not wait:
        return await services.log.get(job_id)
    async with services.feed.watch(job_id) as ear, departure(receive) as gone:
        job = first = await services.log.get(job_id)
        was_overdue, until = is_overdue(services, job), monotonic() + wait
        if (known and not matches(known, job_etag(services, job))) or (not known and job.status.ended):
            return job
        while (left := until - monotonic()) > 0 and not gone.done():
            await heard(ear, gone, min(timedelta(seconds=left), _until_overdue(services, job)))
            job = await services.log.get(job_id)
            if job.version != first.version or is_overdue(services, job) != was_overdue:
                break
    return job


def _until_overdue(services: Services, job: Job) -> timedelta:
    if job.status is not JobStatus.WAITING or job.delivered_at is None:
        return timedelta.max
    left = job.delivered_at + periods_of(services, job).callback_timeout - services.clock()
    return max(left, timedelta(milliseconds=10)) if left > timedelta(0) else timedelta.max
