"""Jobs for tests, made by the life cycle itself."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain import lifecycle
from app.domain.lifecycle import Cancelled, Completed, Delivered, Event, Failed, Noted, NoteKind, Started
from app.domain.models import AuditEvent, FileUploadInfo, Job, JobError, JobResult, new_job_id

AT = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
LEASE = timedelta(seconds=10)
SOON = timedelta(minutes=15)

STARTED = Started(lease=LEASE)
DELIVERED = Delivered(due_in=SOON, execution_id="4711")
COMPLETED = Completed(result=JobResult(message="Page created", data={"pages": [1, None, "zwei"]}))
FAILED = Failed(error=JobError(type="workflow", detail="Notion said no"), result_message="It did not work")
CANCELLED = Cancelled()
NOTED = Noted(kind=NoteKind.CALLBACK)
ERASED = Noted(kind=NoteKind.ERASED)


def receipt(**changes: Any) -> FileUploadInfo:
    """A small picture."""
    file = FileUploadInfo(filename="receipt.png", size=102_400, sha256="ab" * 32, media_type="image/png")
    return replace(file, **changes)


def draft(**changes: Any) -> Job:
    """What was handed in, before it is accepted: due at once, with a file, and nothing that must be unique."""
    at = changes.get("created_at", AT)
    job = Job(
        job_id=new_job_id(at),
        client="ada",
        workflow="n8n_notion",
        file=receipt(),
        params={"notion_database_id": "db-1"},
        created_at=at,
        due_at=at,
        salt=os.urandom(16).hex(),
    )
    return replace(job, **changes)


def accepted(**changes: Any) -> tuple[Job, AuditEvent]:
    """A job's first version and line."""
    job = draft(**changes)
    return lifecycle.accept(job, job.created_at)


def history(
    job: Job, *events: Event, at: datetime = AT, every: timedelta = timedelta(seconds=1)
) -> list[tuple[Job, AuditEvent]]:
    """The versions and lines that follow from these events, the first one at `at`."""
    steps: list[tuple[Job, AuditEvent]] = []
    for event in events:
        steps.append(lifecycle.advance(job, event, at))
        job, at = steps[-1][0], at + every
    return steps


def after(
    job: Job, *events: Event, at: datetime = AT, every: timedelta = timedelta(seconds=1)
) -> tuple[Job, AuditEvent]:
    """The job and the line after these events, the first one at `at`."""
    return history(job, *events, at=at, every=every)[-1]
