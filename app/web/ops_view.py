"""What operators see of many jobs: what needs a person, figures, and one page of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.errors import Unavailable
from app.domain.lifecycle import TroubleKind
from app.domain.models import Job, JobId, JobStatus
from app.domain.protocols import JobCounts
from app.services import Services
from app.web.job_view import JobView, job_view

FAR_AHEAD = timedelta(days=3650)
LOOK_AT = 200  # jobs of one kind that are looked through for those that need a person
SHOWN = 20
DAY = timedelta(days=1)
SLOW_QUEUE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One kind of job that needs a person: how many there are (`more` where only some were looked at), and the first."""

    headline: str
    advice: str
    jobs: list[JobView]
    count: int
    more: bool
    retryable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts for the head of the page. `workers` is None while the queue cannot be asked."""

    by_status: list[tuple[JobStatus, int]]
    overdue: int
    oldest_queued: timedelta | None
    workers: int | None

    @property
    def slow(self) -> bool:
        """Whether jobs wait longer for a worker than they should."""
        return self.oldest_queued is not None and self.oldest_queued > SLOW_QUEUE


async def figures(services: Services, counts: JobCounts) -> Figures:
    """Counts, and how the queue does."""
    found = Counter(dict.fromkeys(JobStatus, 0))
    for (_, status), number in counts.by_workflow.items():
        found[status] += number
    try:
        workers = len((await services.queue.report()).workers)
    except Unavailable:
        workers = None
    oldest, now = counts.oldest_queued_at, services.clock()
    return Figures(
        by_status=[(status, found[status]) for status in JobStatus],
        overdue=counts.overdue,
        oldest_queued=now - oldest if oldest and oldest < now else None,
        workers=workers,
    )


async def needs(services: Services, counts: JobCounts) -> list[Need]:
    """What needs a person, the most pressing first."""
    now = services.clock()
    names = services.workflows.keys() | {name for name, _ in counts.by_workflow}
    failed = await _failed(services, now - DAY)
    again = await _jobs(
        services, await services.agenda.startable(now + FAR_AHEAD, LOOK_AT, _all_of(names), new_before=None)
    )
    refused = [job for job in again if job.trouble and job.trouble.kind == TroubleKind.REFUSED]
    waiting = (
        await _jobs(services, await services.agenda.due(now + FAR_AHEAD, LOOK_AT, names)) if counts.overdue else []
    )
    overdue = [view for view in (job_view(services, job) for job in waiting) if view.overdue]
    waiting_for = await _in_line(services, counts, names)
    found = [
        Need(
            headline="Refused by the workflow",
            advice="Its answer was 401, 403 or 404: is it active, is this its production address, is the token right? "
            "It is tried again for an hour.",
            jobs=_views(services, refused),
            count=len(refused),
            more=len(again) == LOOK_AT,
        ),
        Need(
            headline="Overdue",
            advice="The workflow took them and has been silent for too long. Look there whether they still run.",
            jobs=overdue[:SHOWN],
            count=counts.overdue,
            more=False,
        ),
        Need(
            headline="Waiting for a worker for too long",
            advice="The queue grows faster than it is worked off, or no worker runs. The longest waiting come first.",
            jobs=_views(services, waiting_for),
            count=len(waiting_for),
            more=len(waiting_for) == LOOK_AT,
        ),
        Need(
            headline="Failed in the last day",
            advice="Not tried again since. A retry is a new job with the same file.",
            jobs=_views(services, failed),
            count=len(failed),
            more=len(failed) == LOOK_AT,
            retryable=True,
        ),
    ]
    return [need for need in found if need.count]


async def _in_line(services: Services, counts: JobCounts, names: Collection[str]) -> list[Job]:
    """New jobs that have been due for longer than they should."""
    late = services.clock() - SLOW_QUEUE
    if counts.oldest_queued_at is None or counts.oldest_queued_at > late:
        return []
    return await _jobs(services, await services.agenda.startable(late, LOOK_AT, _all_of(names), new_before=late))


def _all_of(names: Collection[str]) -> dict[str, int]:
    return dict.fromkeys(names, LOOK_AT)


async def _jobs(services: Services, job_ids: Sequence[JobId]) -> list[Job]:
    return [await services.log.get(job_id) for job_id in job_ids]


async def _failed(services: Services, since: datetime) -> list[Job]:
    page = await services.search.page(status=JobStatus.FAILURE, limit=LOOK_AT)
    failed = [job for job in page.jobs if job.completed_at and job.completed_at >= since]
    if not failed:
        return []
    newest = await services.search.page(limit=LOOK_AT)
    retried = {job.retry_of for job in newest.jobs}
    return [job for job in failed if job.job_id not in retried]


def _views(services: Services, jobs: Sequence[Job]) -> list[JobView]:
    return [job_view(services, job) for job in jobs[:SHOWN]]


def curl(services: Services, job_id: JobId) -> str:
    """The same question to the API, for a terminal."""
    return (
        f'curl -H "Authorization: Bearer $CALLSLIP_API_KEY" {str(services.public_url).rstrip("/")}/api/v1/jobs/{job_id}'
    )


def may_retry(view: JobView) -> bool:
    """Whether a retry can be asked for."""
    return view.job.status in (JobStatus.FAILURE, JobStatus.CANCELLED) and bool(view.file or view.job.file is None)
