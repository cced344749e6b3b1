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
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import NamedTuple

from app.domain.models import AuditEvent, Job, JobId, Json

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: Json | Mapping[str, Json]) -> bytes:
    """The one byte form of a JSON value that is hashed and compared."""
    return _encode(value).encode()


@lru_cache(maxsize=1024)  # the times of a job stand in each of its lines
def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds, always the same width."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return f"{utc.date().isoformat()}T{utc.time().isoformat('microseconds')}Z"  # half of what asking the zone costs


def genesis(job_id: JobId) -> str:
    """What stands before a job's first line."""
    return hashlib.sha256(f"job:{job_id}".encode()).hexdigest()


def commitment(salt: str, version: int, detail: Mapping[str, Json]) -> str:
    """Binds a detail to its line without telling it; `salt` is hex."""
    return hashlib.sha256(b"\x01" + bytes.fromhex(salt) + version.to_bytes(8) + canonical(detail)).hexdigest()


class StoredLine(NamedTuple):
    """A line as it is stored: facts and detail are the very texts that were hashed, `at` is in the form of `timestamp`."""

    job_id: str
    version: int
    at: str
    type: str
    before: str | None
    after: str
    facts: str
    commitment: str | None
    prev_hash: str
    hash: str
    detail: str | None


def stored(event: AuditEvent) -> StoredLine:
    """The line as a store keeps it."""
    return _stored(event, None if event.detail is None else canonical(event.detail).decode())


def _stored(event: AuditEvent, detail: str | None) -> StoredLine:
    return StoredLine(
        job_id=str(event.job_id),
        version=event.version,
        at=timestamp(event.at),
        type=event.type,
        before=event.before,
        after=event.after,
        facts=canonical(event.facts).decode(),
        commitment=event.commitment,
        prev_hash=event.prev_hash,
        hash=event.hash,
        detail=detail,
    )


def line_hash(event: AuditEvent) -> str:
    """The hash that `event` must carry."""
    return stored_hash(_stored(event, None), event.version)  # which covers the detail by its commitment only


def stored_hash(line: StoredLine, version: int) -> str:
    """The hash that the line must carry, had it this version. Raises ValueError where its previous hash is none.

    The body is written out here, because a verification does it a million times.
    """
    commitment = "null" if line.commitment is None else encode_basestring(line.commitment)
    before = "null" if line.before is None else encode_basestring(line.before)
    body = (
        f'{{"after":{encode_basestring(line.after)},"at":"{line.at}","before":{before},"commitment":{commitment},'
        f'"facts":{line.facts},"job_id":"{line.job_id}","type":{encode_basestring(line.type)},"version":{version}}}'
    )
    return hashlib.sha256(b"\x00" + bytes.fromhex(line.prev_hash) + body.encode()).hexdigest()


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


def _time(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)
