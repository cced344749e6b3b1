"""Jobs, lines and notices as rows and back, by hand: an ORM would cost more than the query."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast
from uuid import UUID

from app.domain import audit
from app.domain.models import (
    AuditEvent,
    FileUploadInfo,
    Job,
    JobError,
    JobId,
    JobResult,
    JobStatus,
    Json,
    Progress,
    Trouble,
)
from app.infrastructure.sql_columns import JOB_COLUMNS, from_micros, to_micros

Row: TypeAlias = tuple[Any, ...]
Values: TypeAlias = dict[str, Any]

SELECT_JOB = f"SELECT {', '.join(JOB_COLUMNS)} FROM job_log"  # noqa: S608 - names from our own table
_STATUS = {status.value: status for status in JobStatus}

# What was handed in never changes: leaving it out of updates leaves its indexes alone.
HANDED_IN = frozenset({"job_id", "workflow", "size", "media_type", "created_at", "retry_of"})
PERSONAL = frozenset(
    {"client", "filename", "sha256", "subject", "dedup_key", "idempotency_key", "fingerprint", "salt", "params"}
)
CHANGING_COLUMNS = tuple(name for name in JOB_COLUMNS if name not in HANDED_IN | PERSONAL)
ERASED_COLUMNS = tuple(name for name in JOB_COLUMNS if name not in HANDED_IN)


@dataclass(frozen=True, slots=True)
class Codec:
    """How a database's driver takes and gives times and ids."""

    time_in: Callable[[datetime], Any]
    time_out: Callable[[Any], datetime]
    id_in: Callable[[UUID], Any]
    id_out: Callable[[Any], UUID]

    def time(self, at: datetime | None) -> Any:
        return None if at is None else self.time_in(at)

    def moment(self, value: Any) -> datetime | None:
        return None if value is None else self.time_out(value)


SQLITE_CODEC = Codec(time_in=to_micros, time_out=from_micros, id_in=str, id_out=UUID)
# The driver gives times in the session's zone, which may be any.
POSTGRESQL_CODEC = Codec(
    time_in=lambda at: at, time_out=lambda at: at.astimezone(UTC), id_in=lambda uuid: uuid, id_out=lambda uuid: uuid
)


def job_values(job: Job, codec: Codec) -> Values:
    """The row of a job, by column."""
    file, trouble, error = job.file, job.trouble, job.error
    return {
        "job_id": codec.id_in(job.job_id),
        "client": job.client,
        "workflow": job.workflow,
        "status": job.status.value,
        "version": job.version,
        "attempt": job.attempt,
        "lost_leases": job.lost_leases,
        "notes": job.notes,
        "filename": file.filename if file else None,
        "size": file.size if file else None,
        "sha256": file.sha256 if file else None,
        "media_type": file.media_type if file else None,
        "subject": job.subject,
        "dedup_key": job.dedup_key,
        "idempotency_key": job.idempotency_key,
        "fingerprint": job.fingerprint,
        "created_at": codec.time_in(job.created_at),
        "started_at": codec.time(job.started_at),
        "delivered_at": codec.time(job.delivered_at),
        "completed_at": codec.time(job.completed_at),
        "due_at": codec.time(job.due_at),
        "file_removed_at": codec.time(job.file_removed_at),
        "progress_millis": None if job.progress.fraction is None else round(job.progress.fraction * 1000),
        "step": job.progress.step,
        "steps": job.progress.steps,
        "trouble_kind": trouble.kind if trouble else None,
        "trouble_since": codec.time_in(trouble.since) if trouble else None,
        "trouble_count": trouble.count if trouble else None,
        "error_type": error.type if error else None,
        "execution_id": job.execution_id,
        "retry_of": codec.id_in(job.retry_of) if job.retry_of else None,
        "salt": job.salt,
        "head": job.head,
        "progress_message": job.progress.message,
        "result_message": job.result.message,
        "notion_page_url": job.result.notion_page_url,
        "error_detail": error.detail if error else None,
        "params": json_in(job.params),
        "result": None if job.result.data is None else json_in(job.result.data),
    }


def job_from(row: Row, codec: Codec) -> Job:
    """The job in a row of all JOB_COLUMNS. Taken apart in their order: by their names it would cost half as much again."""
    # fmt: off
    (
        job_id, client, workflow, status, version, attempt, lost_leases, notes, filename, size, sha256, media_type, subject,
        dedup_key, idempotency_key, fingerprint, created_at, started_at, delivered_at, completed_at, due_at, file_removed_at,
        millis, step, steps, trouble_kind, trouble_since, trouble_count, error_type, execution_id, retry_of, salt, head,
        progress_message, result_message, notion_page_url, error_detail, params, result,
    ) = row
    # fmt: on
    time = codec.time_out
    return Job(
        job_id=JobId(codec.id_out(job_id)),
        client=client,
        workflow=workflow,
        status=_STATUS[status],
        version=version,
        attempt=attempt,
        lost_leases=lost_leases,
        notes=notes,
        file=_file(filename, size, sha256, media_type),
        params={} if params == "{}" else json.loads(params),
        subject=subject,
        dedup_key=dedup_key,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        created_at=time(created_at),
        started_at=None if started_at is None else time(started_at),
        delivered_at=None if delivered_at is None else time(delivered_at),
        completed_at=None if completed_at is None else time(completed_at),
        due_at=None if due_at is None else time(due_at),
        file_removed_at=None if file_removed_at is None else time(file_removed_at),
        progress=Progress(
            fraction=None if millis is None else millis / 1000, step=step, steps=steps, message=progress_message
        ),
        trouble=Trouble(kind=trouble_kind, since=time(trouble_since), count=trouble_count)
        if trouble_kind is not None
        else None,
        result=JobResult(
            message=result_message,
            notion_page_url=notion_page_url,
            data=None if result is None else json.loads(result),
        ),
        error=JobError(type=error_type, detail=error_detail or "") if error_type is not None else None,
        execution_id=execution_id,
        retry_of=None if retry_of is None else JobId(codec.id_out(retry_of)),
        salt=salt,
        head=head,
    )


def _file(filename: str | None, size: int | None, sha256: str | None, media_type: str) -> FileUploadInfo | None:
    if size is None:
        return None
    # Name and hash are gone once erased.
    return FileUploadInfo(filename=filename or "", size=size, sha256=sha256 or "", media_type=media_type)


def erased(job: Job) -> Job:
    """The job without salt and personal columns."""
    return replace(
        job,
        client="",
        file=replace(job.file, filename="", sha256="") if job.file else None,
        params={},
        subject=None,
        dedup_key=None,
        idempotency_key=None,
        fingerprint=None,
        progress=replace(job.progress, message=None),
        result=JobResult(),
        error=replace(job.error, detail="") if job.error else None,
        salt=None,
    )


def line_values(line: AuditEvent, codec: Codec) -> Values:
    """The row of an audit line, by column; its detail has a row of its own."""
    return {
        "job_id": codec.id_in(line.job_id),
        "version": line.version,
        "at": codec.time_in(line.at),
        "type": line.type,
        "before": line.before.value if line.before else None,
        "after": line.after.value,
        "facts": json_in(line.facts),
        "commitment": line.commitment,
        "prev_hash": line.prev_hash,
        "hash": line.hash,
    }


def line_from(row: Row, codec: Codec) -> AuditEvent:
    """The line in a row of all LINE_COLUMNS and the detail's body."""
    job_id, version, at, kind, before, after, facts, commitment, prev_hash, digest, body = row
    return AuditEvent(
        job_id=JobId(codec.id_out(job_id)),
        version=version,
        at=codec.time_out(at),
        type=kind,
        before=JobStatus(before) if before else None,
        after=JobStatus(after),
        facts=json.loads(facts),
        commitment=commitment,
        prev_hash=prev_hash,
        hash=digest,
        detail=None if body is None else json.loads(body),
    )


def json_in(value: Json | Mapping[str, Json]) -> str:
    """JSON as it is stored."""
    return audit.canonical(cast("Json", dict(value) if isinstance(value, Mapping) else value)).decode()
