"""The record that a stranger can check: a hash chain per job, with salted commitments for what may be erased.

A line's body is canonical JSON (UTF-8, keys sorted, no spaces; equal to RFC 8785 for the text, integers, booleans and
nulls that facts hold) and its hash is SHA-256(0x00 || previous hash || body). The first previous hash is
SHA-256("job:" + job id), so a line cannot be moved to another job. The 0x00 and 0x01 prefixes keep lines and
commitments apart (as RFC 6962 separates leaves from nodes). What is personal or wordy stands outside the chain as a
detail; the line holds SHA-256(0x01 || salt || version as 8 bytes || canonical detail). Deleting salt and details
erases them and leaves the chain whole.

Facts and details hold every column that a line changed, so that folding a job's lines gives back its row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.models import AuditEvent, Job, JobId, JobStatus, Json

UNCHAINED = frozenset({"due_at"})  # a lease renewal moves it without a line


def canonical(value: Json | Mapping[str, Json]) -> bytes:
    """The one byte form of a JSON value that is hashed and compared."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds, always the same width."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def genesis(job_id: JobId) -> str:
    """What stands before a job's first line."""
    return hashlib.sha256(f"job:{job_id}".encode()).hexdigest()


def commitment(salt: str, version: int, detail: Mapping[str, Json]) -> str:
    """Binds a detail to its line without telling it; `salt` is hex."""
    return hashlib.sha256(b"\x01" + bytes.fromhex(salt) + version.to_bytes(8) + canonical(detail)).hexdigest()


def line_hash(event: AuditEvent) -> str:
    """The hash that `event` must carry."""
    body: dict[str, Json] = {
        "job_id": str(event.job_id),
        "version": event.version,
        "at": timestamp(event.at),
        "type": event.type,
        "before": event.before,
        "after": event.after,
        "facts": dict(event.facts),
        "commitment": event.commitment,
    }
    return hashlib.sha256(b"\x00" + bytes.fromhex(event.prev_hash) + canonical(body)).hexdigest()


def facts(job: Job) -> dict[str, Json]:
    """The columns that the chain holds in clear: codes, counts, sizes and times."""
    file, trouble, error = job.file, job.trouble, job.error
    return {
        "workflow": job.workflow,
        "attempt": job.attempt,
        "lost_leases": job.lost_leases,
        "notes": job.notes,
        "size": file.size if file else None,
        "media_type": file.media_type if file else None,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "delivered_at": _time(job.delivered_at),
        "completed_at": _time(job.completed_at),
        "due_at": _time(job.due_at),
        "file_removed_at": _time(job.file_removed_at),
        # Integers only: two languages may print one float in two ways.
        "progress_millis": None if job.progress.fraction is None else round(job.progress.fraction * 1000),
        "step": job.progress.step,
        "steps": job.progress.steps,
        "trouble_kind": trouble.kind if trouble else None,
        "trouble_since": _time(trouble.since) if trouble else None,
        "trouble_count": trouble.count if trouble else None,
        "error_type": error.type if error else None,
        "execution_id": job.execution_id,
        "retry_of": str(job.retry_of) if job.retry_of else None,
    }


def details(job: Job) -> dict[str, Json]:
    """The columns that may name a person or hold free text. A result can be large: its digest stands for it."""
    return {
        "client": job.client,
        "filename": job.file.filename if job.file else None,
        "sha256": job.file.sha256 if job.file else None,
        "params": dict(job.params),
        "subject": job.subject,
        "dedup_key": job.dedup_key,
        "idempotency_key": job.idempotency_key,
        "fingerprint": job.fingerprint,
        "progress_message": job.progress.message,
        "result_message": job.result.message,
        "notion_page_url": job.result.notion_page_url,
        "result_sha256": None if job.result.data is None else hashlib.sha256(canonical(job.result.data)).hexdigest(),
        "error_detail": job.error.detail if job.error else None,
    }


def changed(before: Mapping[str, Json] | None, after: Mapping[str, Json]) -> dict[str, Json]:
    """The entries of `after` that `before` does not have; all that say something if there is no before."""
    if before is None:
        return {key: value for key, value in after.items() if value not in (None, {})}
    return {key: value for key, value in after.items() if before[key] != value}


@dataclass(frozen=True, slots=True)
class Finding:
    """What verification found wrong: in which job, at which version (None: the row itself), which kind, in words."""

    job_id: JobId
    version: int | None
    kind: str
    message: str


def verify(job: Job | None, job_id: JobId, events: Iterable[AuditEvent]) -> Finding | None:
    """The first thing that is wrong with a job's history, or None. `events` are all of its lines in stored order.

    Kinds: `missing` `reordered` `moved` `changed` `detail changed` `truncated` `row changed` `row missing`.
    """
    expected, head = 1, genesis(job_id)
    folded: dict[str, Json] = {}
    status: JobStatus | None = None
    erased = False
    for event in events:
        wrong = _wrong(event, job_id, expected, head, status, None if job is None else job.salt)
        if wrong:
            return Finding(job_id, event.version, *wrong)
        folded.update(event.facts)
        folded.update(event.detail or {})
        expected, head, status = event.version + 1, event.hash, event.after
        erased = erased or event.facts.get("note") == "erased"
    if job is None:
        return Finding(job_id, None, "row missing", "there are audit lines, but no job")
    if job.version != expected - 1 or job.head != head:
        return Finding(
            job_id, expected, "truncated", f"the row is at version {job.version}, the lines end at {expected - 1}"
        )
    if job.salt is None and not erased:
        return Finding(job_id, None, "detail changed", "the details are gone, but no line says that the job was erased")
    return next(_row_differences(job, status, folded), None)


def _wrong(
    event: AuditEvent, job_id: JobId, expected: int, head: str, status: JobStatus | None, salt: str | None
) -> tuple[str, str] | None:
    if event.job_id != job_id:
        return "moved", f"belongs to job {event.job_id}"
    if event.version < expected:
        return "reordered", f"expected version {expected}"
    if event.version > expected:
        return "missing", f"version {expected} is missing"
    if event.prev_hash != head or event.hash != line_hash(event) or event.before != status:
        return "changed", "the line does not continue the chain"
    if salt and event.commitment and event.detail is None:
        return "detail changed", "the detail is missing, although the job was not erased"
    if salt and event.detail is not None and event.commitment != commitment(salt, event.version, event.detail):
        return "detail changed", "the detail is not the one that was committed to"
    return None


def _row_differences(job: Job, status: JobStatus | None, folded: Mapping[str, Json]) -> Iterator[Finding]:
    row = facts(job) if job.salt is None else facts(job) | details(job)
    skip = UNCHAINED if job.status is JobStatus.PROCESSING else frozenset()
    if job.status != status:
        yield Finding(job.job_id, None, "row changed", f"status is {job.status}, the lines say {status}")
    for key, value in row.items():
        if key not in skip and value != folded.get(key, {} if key == "params" else None):
            yield Finding(job.job_id, None, "row changed", f"{key} is not what the lines say")


def _time(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)
