"""Evidence of a small sound run, made by hand from the product's own life cycle, for planting mistakes in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.domain import audit, lifecycle
from app.domain.lifecycle import (
    Completed,
    Delivered,
    Event,
    Noted,
    NoteKind,
    Postponed,
    Progressed,
    Started,
    TroubleKind,
)
from app.domain.models import AuditEvent, FileUploadInfo, Job, JobResult, Progress, new_job_id
from chaos.evidence import Ack, Callback, Evidence, Line, Receipt, Row, Stored, Stream

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PLAIN, LOST, DOUBTED = range(3)  # the jobs of the recorded run, in the order of their making


def recorded() -> Evidence:
    """Three jobs: one that went smoothly, one whose worker was killed, one whose far side did not answer."""
    lives = [_life(_events(kind), kind) for kind in (PLAIN, LOST, DOUBTED)]
    jobs = [job for job, _ in lives]
    lines = tuple(line_of(line) for _, history in lives for line in history)
    return Evidence(
        acks=tuple(_ack(number, job) for number, job in enumerate(jobs)),
        receipts=tuple(
            _receipt(job, attempt, number) for number, job in enumerate(jobs) for attempt in range(1, job.attempt + 1)
        ),
        callbacks=tuple(callback for job in jobs for callback in _callbacks(job)),
        rows=tuple(row_of(job) for job in jobs),
        lines=lines,
        stored=tuple(_stored(job) for job in jobs),
        streams=tuple(Stream(job_id=str(job.job_id), versions=_versions(job), finished=True) for job in jobs),
    )


def _events(kind: int) -> Sequence[Event]:
    started, delivered = Started(lease=10 * SECOND), Delivered(due_in=60 * SECOND, attempt=None)
    if kind == PLAIN:
        return (started, delivered, *_reports())
    if kind == LOST:
        return (started, Postponed(delay=timedelta(), lost=True), started, delivered, *_reports())
    doubt = Delivered(due_in=SECOND, trouble=TroubleKind.NO_ANSWER)
    return (started, doubt, Postponed(delay=SECOND), started, delivered, *_reports())


def _reports() -> Sequence[Event]:
    progressed = Progressed(progress=Progress(fraction=0.5, message="half"), due_in=60 * SECOND)
    return progressed, Completed(result=JobResult(message="done")), Noted(kind=NoteKind.CALLBACK)


def _life(events: Sequence[Event], number: int) -> tuple[Job, list[AuditEvent]]:
    at = BEGAN + number * SECOND
    content = b"content %d" % number
    file = FileUploadInfo(
        filename="a.txt", size=len(content), sha256=hashlib.sha256(content).hexdigest(), media_type="text/plain"
    )
    draft = Job(
        job_id=new_job_id(at),
        client="me",
        workflow="n8n_notion",
        file=file,
        created_at=at,
        due_at=at,
        idempotency_key=f"key {number}",
        salt="00" * 16,
    )
    job, line = lifecycle.accept(draft, at)
    history = [line]
    for event in events:
        at = max(at + SECOND, job.due_at if type(event) is Started and job.due_at else at)
        job, line = lifecycle.advance(job, event, at)
        history.append(line)
    return job, history


def _ack(number: int, job: Job) -> Ack:
    assert job.file
    return Ack(key=f"key {number}", job_id=str(job.job_id), sha256=job.file.sha256, size=job.file.size)


def _receipt(job: Job, attempt: int, number: int) -> Receipt:
    assert job.file
    return Receipt(
        job_id=str(job.job_id),
        attempt=attempt,
        body_sha256=hashlib.sha256(b"body %d" % number).hexdigest(),
        file_sha256=job.file.sha256,
        complete=True,
        taken=True,
        authentic=True,
        began=100.0 * attempt,
        ended=100.0 * attempt + 1,
    )


def _callbacks(job: Job) -> list[Callback]:
    job_id = str(job.job_id)
    return [
        Callback(job_id=job_id, status="processing", marker="half", answer=None, applied=None),
        Callback(job_id=job_id, status="processing", marker="half", answer=200, applied=True),
        Callback(job_id=job_id, status="success", marker="done", answer=200, applied=True),
        Callback(job_id=job_id, status="success", marker="done", answer=200, applied=False),
    ]


def _versions(job: Job) -> tuple[int, ...]:
    return tuple(range(1, job.version))


def row_of(job: Job) -> Row:
    """The job as its row has it."""
    return Row(
        job_id=str(job.job_id),
        status=job.status,
        version=job.version,
        attempt=job.attempt,
        lost_leases=job.lost_leases,
        size=job.file.size if job.file else None,
        sha256=job.file.sha256 if job.file else None,
        result_message=job.result.message,
        has_due_at=job.due_at is not None,
        file_removed=False,
        salt=job.salt,
        head=job.head,
        idempotency_key=job.idempotency_key,
    )


def line_of(line: AuditEvent) -> Line:
    """The line as the database has it."""
    return Line(
        job_id=str(line.job_id),
        version=line.version,
        at=audit.timestamp(line.at),
        type=line.type,
        before=line.before,
        after=line.after,
        facts=line.facts,
        commitment=line.commitment,
        prev_hash=line.prev_hash,
        hash=line.hash,
        detail=line.detail,
    )


def _stored(job: Job) -> Stored:
    assert job.file
    return Stored(job_id=str(job.job_id), sha256=job.file.sha256, size=job.file.size)


def with_life(evidence: Evidence, number: int, events: Sequence[Event]) -> Evidence:
    """The same run, but that this job lived otherwise: row and lines fit each other."""
    job_id = evidence.rows[number].job_id
    job, history = _life(events, number)
    lines = [replace(line_of(line), job_id=str(job.job_id)) for line in history]
    return replace(
        evidence,
        rows=tuple(row_of(job) if row.job_id == job_id else row for row in evidence.rows),
        lines=(*(line for line in evidence.lines if line.job_id != job_id), *lines),
        acks=tuple(_ack(number, job) if ack.job_id == job_id else ack for ack in evidence.acks),
        stored=tuple(_stored(job) if one.job_id == job_id else one for one in evidence.stored),
        receipts=tuple(
            replace(one, job_id=str(job.job_id)) if one.job_id == job_id else one for one in evidence.receipts
        ),
        callbacks=tuple(
            replace(one, job_id=str(job.job_id)) if one.job_id == job_id else one for one in evidence.callbacks
        ),
        streams=tuple(one for one in evidence.streams if one.job_id != job_id),
    )


def lived(events: Sequence[Event]) -> tuple[Job, tuple[Line, ...]]:
    """A job of local work after these events, one a second, and its lines."""
    draft = Job(job_id=new_job_id(BEGAN), client="me", workflow="noted", created_at=BEGAN, due_at=BEGAN, salt="00" * 16)
    job, line = lifecycle.accept(draft, BEGAN)
    lines = [line]
    for number, event in enumerate(events, 1):
        job, line = lifecycle.advance(job, event, BEGAN + number * SECOND)
        lines.append(line)
    return job, tuple(line_of(line) for line in lines)
