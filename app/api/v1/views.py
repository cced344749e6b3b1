"""How jobs and their history look to clients: domain values in, schemas out, with links and ETags."""

from __future__ import annotations

from typing import Any

from app.api.v1 import schemas
from app.domain import lifecycle
from app.domain.audit import timestamp
from app.domain.lifecycle import Periods
from app.domain.models import AuditEvent, FileUploadInfo, Job
from app.domain.signing import Scope
from app.services import Services
from app.services.estimates import Estimate

_API = "/api/v1/jobs"


def job_path(job: Job) -> str:
    """Where the job is."""
    return f"{_API}/{job.job_id}"


def is_overdue(services: Services, job: Job) -> bool:
    """Whether the job's callback should have come by now."""
    return lifecycle.overdue(job, periods_of(services, job), services.clock())


def periods_of(services: Services, job: Job) -> Periods:
    """The periods of the job's workflow; the contract's where it was taken out of the configuration."""
    workflow = services.workflows.get(job.workflow)
    return workflow.periods if workflow else Periods()


def job_etag(services: Services, job: Job) -> str:
    """Changes with everything that can be seen: leases move `due_at` without a version, and time alone makes overdue."""
    due = int(job.due_at.timestamp() * 1_000_000) if job.due_at else 0
    return f'"{job.version}-{due:x}-{is_overdue(services, job):d}"'


def _link_facts(services: Services, job: Job) -> dict[str, str | None]:
    """Where to go from a job; the tokens are the same each time."""
    job_id = str(job.job_id)
    path, expires = f"{_API}/{job_id}", job.created_at + services.link_ttl
    grant = services.capabilities.grant
    here = job.file is not None and job.file_removed_at is None
    return {
        "self": path,
        "events": f"{path}/events",
        "history": f"{path}/history",
        "file": f"{path}/file?token={grant(Scope.FILE, job.job_id, expires)}" if here else None,
        "page": f"/jobs/{job_id}?token={grant(Scope.PAGE, job.job_id, expires)}",
    }


def links(services: Services, job: Job) -> schemas.Links:
    """Where to go from a job."""
    return schemas.Links.model_validate(_link_facts(services, job))


def job_created(services: Services, job: Job, *, joined: bool = False) -> dict[str, Any]:
    """The members of a JobCreationResponse, in its order."""
    return {
        "job_id": str(job.job_id),
        "status": job.status.value,
        "workflow": job.workflow,
        "created_at": timestamp(job.created_at),
        "file": _file_facts(job.file),
        "links": _link_facts(services, job),
        **({"joined": True} if joined else {}),
    }


async def job_now(services: Services, job: Job) -> dict[str, Any]:
    """The job as it stands, and how much longer it may take."""
    return job_facts(services, job, await services.estimates.of(job, overdue=is_overdue(services, job)))


def job_info(services: Services, job: Job) -> schemas.JobInfo:
    """The job as it stands."""
    return schemas.JobInfo.model_validate(job_facts(services, job))


def job_facts(services: Services, job: Job, estimate: Estimate | None = None) -> dict[str, Any]:
    """The members of a JobInfo, in its order: the model would be built, checked and taken apart again for each answer."""
    progress, error, trouble, due = job.progress, job.error, job.trouble, job.due_at
    return {
        "job_id": job.job_id,
        "workflow": job.workflow,
        "status": job.status.value,
        "overdue": is_overdue(services, job),
        "version": job.version,
        "attempt": job.attempt,
        "progress": {
            "fraction": progress.fraction,
            "step": progress.step,
            "steps": progress.steps,
            "message": progress.message,
        },
        "file": _file_facts(job.file),
        "params": job.params,
        "created_at": timestamp(job.created_at),
        "started_at": timestamp(job.started_at) if job.started_at else None,
        "delivered_at": timestamp(job.delivered_at) if job.delivered_at else None,
        "completed_at": timestamp(job.completed_at) if job.completed_at else None,
        "due_at": timestamp(due) if due else None,
        "result_message": job.result.message,
        "notion_page_url": job.result.notion_page_url,
        "result": job.result.data,
        "error": {"type": error.type, "detail": error.detail} if error else None,
        "trouble": {"kind": trouble.kind, "since": timestamp(trouble.since), "count": trouble.count}
        if trouble
        else None,
        "execution_id": job.execution_id,
        "retry_of": job.retry_of,
        "estimate": _estimate(estimate),
        "links": _link_facts(services, job),
    }


def history_event(line: AuditEvent) -> schemas.HistoryEvent:
    """One line of a job's history."""
    return schemas.HistoryEvent.model_construct(
        version=line.version,
        at=line.at,
        type=line.type,
        before=line.before,
        after=line.after,
        detail=None if line.detail is None else dict(line.detail),
        facts=dict(line.facts),
        commitment=line.commitment,
        hash=line.hash,
        prev_hash=line.prev_hash,
    )


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    low, high = estimate.low.total_seconds(), estimate.high.total_seconds()
    return {"low_seconds": round(low, 1), "high_seconds": round(high, 1), "runs": estimate.runs}


def _file_facts(file: FileUploadInfo | None) -> dict[str, Any] | None:
    if file is None:
        return None
    return {"filename": file.filename, "size": file.size, "sha256": file.sha256, "media_type": file.media_type}
