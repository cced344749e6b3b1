"""One job as the pages show it: everything a template needs, worked out beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from app.domain import lifecycle
from app.domain.lifecycle import Periods
from app.domain.models import Job, JobStatus
from app.domain.signing import Scope
from app.domain.workflow import Workflow
from app.services import Services
from app.web import parameters, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One station of the way: `state` is done, now, ahead or failed."""

    name: str
    state: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job in words and figures. `telling` says in a sentence how it stands, `more` what the far side said of it."""

    job: Job
    title: str
    workflow: str
    status: str
    tone: str
    telling: str
    more: str
    next_at: datetime | None
    stages: tuple[Stage, ...]
    percent: int | None
    steps: tuple[bool, ...]
    took: timedelta
    overdue: bool
    ended: bool
    page: str
    events: str
    receipt: str
    link: str
    downloads: tuple[tuple[str, str], ...]
    file: str
    params: Sequence[tuple[str, str]]

    @property
    def erased(self) -> bool:
        """Whether everything personal was taken out."""
        return self.job.salt is None


def job_view(services: Services, job: Job) -> JobView:
    """The job as it stands now."""
    overdue = is_overdue(services, job)
    now = services.clock()
    workflow = services.workflows.get(job.workflow)
    here = workflow is not None and bool(workflow.steps)
    progress, page = job.progress, page_path(services, job)
    known = progress.fraction if progress.fraction is not None and not job.status.ended else None
    return JobView(
        job=job,
        title=title_of(job, workflow),
        workflow=workflow.title if workflow else job.workflow,
        status=words.status(job, overdue=overdue, here=here),
        tone=words.tone(job, overdue=overdue),
        telling=_telling(job, overdue=overdue, here=here),
        more=_more(job),
        next_at=job.due_at if job.status is JobStatus.QUEUED and job.attempt else None,
        stages=_stages(job, here=here),
        percent=None if known is None else int(known * 100),
        steps=_steps(job),
        took=(job.completed_at or now) - job.created_at,
        overdue=overdue,
        ended=job.status.ended,
        page=page,
        events=fresh_path(services, job, "events", now),
        receipt=f"/api/v1/jobs/{job.job_id}/receipt?{page.partition('?')[2]}",
        link=_web_address(job.result.notion_page_url),
        downloads=_downloads(workflow, job, page),
        file=_file_path(services, job),
        params=parameters.told(workflow, job.params),
    )


def title_of(job: Job, workflow: Workflow | None) -> str:
    """What the job is called where only one line is to be had."""
    if job.file is not None and job.file.filename:
        return job.file.filename
    if job.salt is None:
        return "Erased"
    return job.subject or parameters.about(workflow, job.params) or "Without a file"


def is_overdue(services: Services, job: Job) -> bool:
    """Whether the job's callback should have come by now."""
    workflow = services.workflows.get(job.workflow)
    return lifecycle.overdue(job, workflow.periods if workflow else Periods(), services.clock())


def page_path(services: Services, job: Job) -> str:
    """The link that can be passed on."""
    token = services.capabilities.grant(Scope.PAGE, job.job_id, job.created_at + services.link_ttl)
    return f"/jobs/{job.job_id}?token={token}"


def fresh_path(services: Services, job: Job, what: str, now: datetime) -> str:
    """Where the job's events or receipt are, for an operator, who may look at a job whose link has expired."""
    token = services.capabilities.grant(Scope.PAGE, job.job_id, now + timedelta(hours=1))
    return f"/api/v1/jobs/{job.job_id}/{what}?token={token}"


def _file_path(services: Services, job: Job) -> str:
    if job.file is None or job.file_removed_at is not None:
        return ""
    token = services.capabilities.grant(Scope.FILE, job.job_id, services.clock() + timedelta(hours=1))
    return f"/api/v1/jobs/{job.job_id}/file?token={token}"


def _downloads(workflow: Workflow | None, job: Job, page: str) -> tuple[tuple[str, str], ...]:
    """What the result can be had as: of the workflow's forms, those that this one was made in."""
    if workflow is None or not workflow.formats or not isinstance(job.result.data, dict):
        return ()
    made, token = job.result.data.get("formats"), page.partition("?")[2]
    forms = [form for form in workflow.formats if not isinstance(made, list) or form in made]
    return tuple((form.upper(), f"/api/v1/reports/{job.job_id}/download?format={form}&{token}") for form in forms)


def _telling(job: Job, *, overdue: bool, here: bool) -> str:
    """`here`: the work is done by our own worker, and handed over to nobody."""
    match job.status:
        case JobStatus.QUEUED if job.trouble:
            return f"{words.trouble(job.trouble.kind)} Tried {words.times(job.trouble.count)}."
        case JobStatus.QUEUED if job.attempt:
            return "The worker that had it was lost. Another one takes over."
        case JobStatus.QUEUED:
            return "It is safely stored. A worker takes it up next."
        case JobStatus.PROCESSING:
            handing_over = "A worker is handing it over to the workflow."
            return job.progress.message or "A worker is at it." if here else handing_over
        case JobStatus.WAITING if job.trouble:
            return words.trouble(job.trouble.kind)
        case JobStatus.WAITING if overdue:
            return "The workflow has it, but has been silent for longer than it should be. It may still report."
        case JobStatus.WAITING:
            return job.progress.message or "The workflow has it. Its next report is awaited."
        case JobStatus.SUCCESS:
            return job.result.message or "The work is done."
        case JobStatus.CANCELLED:
            return "Somebody cancelled this. Nothing more happens."
    return words.reason(job.error) if job.error else "The work could not be done."


def _more(job: Job) -> str:
    if job.status is not JobStatus.FAILURE or job.error is None:
        return ""
    message = job.result.message
    return "\n".join(part for part in (message, job.error.detail if job.error.detail != message else None) if part)


def _stages(job: Job, *, here: bool) -> tuple[Stage, ...]:
    failed = job.status in (JobStatus.FAILURE, JobStatus.CANCELLED)
    begun_at = job.started_at if here else job.delivered_at
    waits = (JobStatus.QUEUED,) if here else (JobStatus.QUEUED, JobStatus.PROCESSING)
    begun = begun_at is not None and job.status not in waits
    last = {JobStatus.FAILURE: "Failed", JobStatus.CANCELLED: "Cancelled"}.get(job.status, "Result")
    over = "done" if begun or job.status is JobStatus.SUCCESS else "ahead" if failed else "now"
    end = "failed" if failed else "done" if job.status.ended else "now" if over == "done" else "ahead"
    return (
        Stage(name="Handed in", state="done", at=job.created_at),
        Stage(name="Taken up" if here else "Handed over", state=over, at=begun_at if over == "done" else None),
        Stage(name=last, state=end, at=job.completed_at),
    )


def _steps(job: Job) -> tuple[bool, ...]:
    """Each step: whether it has been reached. Only where there are few enough to be seen."""
    step, steps = job.progress.step or 0, job.progress.steps or 0
    return tuple(number <= step for number in range(1, steps + 1)) if 1 < steps <= 24 and not job.status.ended else ()


def _web_address(url: str | None) -> str:
    """The address, if it is one that may be clicked: never `javascript:` or the like."""
    return url if url and urlsplit(url).scheme in ("http", "https") else ""
