"""What may happen to a job, and what it becomes. Pure: no clock, no chance, no storage.

The table is drawn in docs/lifecycle.md and again, by hand, in tests/domain/test_lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain import audit
from app.domain.errors import DeliveryTrouble, IllegalTransition, NotDue, StaleAttempt
from app.domain.models import AuditEvent, Job, JobError, JobResult, JobStatus, Json, Progress, Trouble


class TroubleKind(StrEnum):
    """Why a delivery did not work this time. Each has its own patience in `after_trouble`."""

    UNAVAILABLE = "unavailable"  # refused, broken before the body, 408, 425, 429, 502, 503, 504, still starting
    NO_ANSWER = "no_answer"  # time-out or break after the body was sent: it may have run
    SERVER_ERROR = "server_error"  # 500: it may have run
    REFUSED = "refused"  # 401, 403, 404: a restarting n8n and a rotated token look like this
    STEP = "step"  # something that a local step needs did not answer, or the step took too long


class NoteKind(StrEnum):
    """Why a line was written that changes no status."""

    CALLBACK = "callback"  # authentic, but late, repeated or against a final state
    OVERDUE = "overdue"
    ASKED = "asked"  # the far side says that it is still at it
    FILE_REMOVED = "file_removed"
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened. `attempt` is the attempt a worker speaks for, None for everybody else; `words` go into the
    erasable detail of the audit line."""

    attempt: int | None = None
    words: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Event):
    """The bytes are durable and the job begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A worker took the job and holds it for `lease`."""

    lease: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Event):
    """The far side has the job, or (with `trouble`) may have it. Its answer is awaited for `due_in`."""

    due_in: timedelta
    execution_id: str | None = None
    trouble: TroubleKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed(Event):
    """The work went on. `due_in`: how long to wait now, where the delivery had been in doubt."""

    progress: Progress
    due_in: timedelta
    execution_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed(Event):
    """To be tried again after `delay`: the far side had `trouble`, or the worker's lease was `lost`."""

    delay: timedelta
    trouble: TroubleKind | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(Event):
    """The work is done."""

    result: JobResult
    execution_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The work will not be done. `trouble` counts one more of its kind; `lost` one more lost lease."""

    error: JobError
    result_message: str | None = None
    execution_id: str | None = None
    trouble: TroubleKind | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Event):
    """A person does not want it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """Evidence that changes no status. `due_in` moves a waiting job's next look."""

    kind: NoteKind
    due_in: timedelta | None = None


QUEUED, PROCESSING, WAITING, SUCCESS, FAILURE, CANCELLED = JobStatus
TRANSITIONS: Mapping[JobStatus, Mapping[type[Event], JobStatus]] = {
    QUEUED: {
        Started: PROCESSING,
        Delivered: WAITING,
        Completed: SUCCESS,
        Failed: FAILURE,
        Cancelled: CANCELLED,
        Noted: QUEUED,
    },
    PROCESSING: {
        Delivered: WAITING,
        Progressed: PROCESSING,
        Postponed: QUEUED,
        Completed: SUCCESS,
        Failed: FAILURE,
        Cancelled: CANCELLED,
        Noted: PROCESSING,
    },
    WAITING: {
        Delivered: WAITING,
        Progressed: WAITING,
        Postponed: QUEUED,
        Completed: SUCCESS,
        Failed: FAILURE,
        Cancelled: CANCELLED,
        Noted: WAITING,
    },
    SUCCESS: {Noted: SUCCESS},
    FAILURE: {Completed: SUCCESS, Noted: FAILURE},
    CANCELLED: {Noted: CANCELLED},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Every period of a job's life. The defaults are the contract's."""

    schedule: tuple[timedelta, ...] = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 7200, 18000))
    jitter: float = 0.2
    lease: timedelta = timedelta(seconds=10)
    ambiguity_wait: timedelta = timedelta(seconds=60)
    refused_for: timedelta = timedelta(hours=1)
    longest_retry_after: timedelta = timedelta(hours=24)
    server_error_tries: int = 3
    callback_timeout: timedelta = timedelta(minutes=15)
    callback_deadline: timedelta = timedelta(hours=24)


MOST_LOST_LEASES = 3
MOST_NOTES = 20


def accept(draft: Job, at: datetime) -> tuple[Job, AuditEvent]:
    """A job's first version and first audit line, from a draft that says what was handed in."""
    return _sealed(None, draft, Accepted(), QUEUED, at)


def advance(job: Job, event: Event, at: datetime) -> tuple[Job, AuditEvent]:
    """The job after `event`, and the audit line that says so; the line's version is the new job's.

    Raises IllegalTransition where the table has no cell, StaleAttempt when a worker speaks for an attempt that is not
    the current one, NotDue when a job is started before its time.
    """
    after = TRANSITIONS[job.status].get(type(event))
    if after is None:
        raise IllegalTransition(f"{type(event).__name__} does not apply to a job that is {job.status}")
    if event.attempt is not None and event.attempt != job.attempt:
        raise StaleAttempt(f"attempt {event.attempt} is over, the job is at {job.attempt}")
    changed = _change(job, event, at)
    if after.ended and type(event) is not Noted:
        changed = replace(changed, completed_at=at, due_at=None)
    return _sealed(job, changed, event, after, at)


def _change(job: Job, event: Event, at: datetime) -> Job:
    match event:
        case Started(lease=lease):
            if job.due_at is None or at < job.due_at:
                raise NotDue(f"due at {job.due_at}")
            return replace(job, attempt=job.attempt + 1, started_at=job.started_at or at, due_at=at + lease)
        case Delivered():
            return _delivered(job, event, at)
        case Progressed():
            return _progressed(job, event, at)
        case Postponed(delay=delay, trouble=trouble, lost=lost):
            return replace(_troubled(job, trouble, at), due_at=at + delay, lost_leases=job.lost_leases + lost)
        case Completed(result=result, execution_id=execution_id):
            progress = replace(job.progress, fraction=1.0)
            execution_id = execution_id or job.execution_id
            return replace(job, result=result, progress=progress, error=None, trouble=None, execution_id=execution_id)
        case Failed(error=error, trouble=trouble, lost=lost):
            return replace(
                _troubled(job, trouble, at),
                error=error,
                result=replace(job.result, message=event.result_message),
                execution_id=event.execution_id or job.execution_id,
                lost_leases=job.lost_leases + lost,
            )
        case Noted(kind=kind, due_in=due_in):
            return _noted(job, kind, due_in, at)
        case _:
            return job


def _delivered(job: Job, event: Delivered, at: datetime) -> Job:
    execution_id = event.execution_id or job.execution_id
    if job.status is WAITING:  # the workflow called back before its own answer arrived
        return replace(job, execution_id=execution_id)
    return replace(
        job,
        trouble=_trouble_after(job.trouble, event.trouble, at) if event.trouble else None,
        delivered_at=at,
        due_at=at + event.due_in,
        lost_leases=0,
        execution_id=execution_id,
    )


def _progressed(before: Job, event: Progressed, at: datetime) -> Job:
    job = replace(before, progress=event.progress, execution_id=event.execution_id or before.execution_id)
    if job.status is PROCESSING and _millis(event.progress) > _millis(before.progress):
        # Local work got further than ever: what kept it before is over, and it is not what ends its workers.
        return replace(job, trouble=None, lost_leases=0)
    if job.status is WAITING and job.trouble:  # its voice ends the doubt whether it has the job
        return replace(job, trouble=None, delivered_at=at, due_at=at + event.due_in)
    return job


def _millis(progress: Progress) -> int:
    return round((progress.fraction or 0) * 1000)  # as it is stored


def _noted(job: Job, kind: NoteKind, due_in: timedelta | None, at: datetime) -> Job:
    if kind is NoteKind.CALLBACK:
        return replace(job, notes=job.notes + 1)
    if kind in (NoteKind.FILE_REMOVED, NoteKind.ERASED):
        return replace(job, file_removed_at=job.file_removed_at or (at if job.file else None))
    if due_in is not None and job.status is WAITING:
        return replace(job, due_at=at + due_in)
    return job


def _troubled(job: Job, kind: TroubleKind | None, at: datetime) -> Job:
    return replace(job, trouble=_trouble_after(job.trouble, kind, at)) if kind else job


def _trouble_after(trouble: Trouble | None, kind: str, at: datetime) -> Trouble:
    if trouble and trouble.kind == kind:
        return replace(trouble, count=trouble.count + 1)
    return Trouble(kind=kind, since=at, count=1)


def _sealed(before: Job | None, job: Job, event: Event, after: JobStatus, at: datetime) -> tuple[Job, AuditEvent]:
    """The next version of a job, of which status, version and head are still the ones before it."""
    version, head = (before.version + 1, before.head) if before else (1, audit.genesis(job.job_id))
    public = audit.changed(audit.facts(before) if before else None, audit.facts(job))
    if isinstance(event, Noted):
        public["note"] = event.kind
    detail = audit.changed(audit.details(before) if before else None, audit.details(job)) | dict(event.words)
    keep = detail if detail and job.salt else None  # an erased job takes no new details
    line = AuditEvent(
        job_id=job.job_id,
        version=version,
        at=at,
        type=type(event).__name__,
        before=before.status if before else None,
        after=after,
        facts=public,
        commitment=audit.commitment(job.salt, version, keep) if keep and job.salt else None,
        prev_hash=head,
        hash="",
        detail=keep,
    )
    line = replace(line, hash=audit.line_hash(line))
    return replace(job, status=after, version=version, head=line.hash), line


def retry_delay(count: int, periods: Periods, jitter: float, retry_after: timedelta | None = None) -> timedelta | None:
    """How long to wait after the `count`-th failure in a row (from 1), or None when the schedule is used up.

    `jitter` is a random number from -1.0 to 1.0, scaled by `periods.jitter`; a longer `retry_after` is honoured.
    """
    if count > len(periods.schedule):
        return None
    delay = periods.schedule[count - 1] * (1 + periods.jitter * jitter)
    return max(delay, min(retry_after or timedelta(), periods.longest_retry_after))


def after_trouble(job: Job, problem: DeliveryTrouble, periods: Periods, at: datetime, jitter: float) -> Event:
    """What follows from a delivery that did not work: another try, a wait in doubt, or the end, by the contract."""
    kind = TroubleKind(problem.kind)
    trouble = _trouble_after(job.trouble, kind, at)
    words: dict[str, Json] = {**problem.words, "answer": str(problem)}
    # Kinds that take turns reset each other's count; the attempts are the bound that nothing resets.
    exhausted = job.attempt >= 3 * (len(periods.schedule) + 1)
    if kind is TroubleKind.NO_ANSWER and not exhausted:
        return Delivered(attempt=job.attempt, due_in=periods.ambiguity_wait, trouble=kind, words=words)
    delay = retry_delay(trouble.count, periods, jitter, problem.retry_after)
    if kind is TroubleKind.SERVER_ERROR and trouble.count >= periods.server_error_tries:
        delay = None
    if kind is TroubleKind.REFUSED:
        left = trouble.since + periods.refused_for - at
        delay = None if left <= timedelta() else min(delay or left, left)
    if delay is None or exhausted:
        error_type = "step_trouble" if kind is TroubleKind.STEP else f"delivery_{kind}"
        error = JobError(type=error_type, detail=f"{problem} (tried {_times(trouble.count)})")
        return Failed(attempt=job.attempt, error=error, trouble=kind, words=problem.words)
    return Postponed(attempt=job.attempt, delay=delay, trouble=kind, words=words)


def due(job: Job, periods: Periods, at: datetime, jitter: float) -> Event | None:
    """What must happen to a job whose `due_at` has passed; None when it is simply to be started (or not due)."""
    if job.due_at is None or at < job.due_at or job.status is QUEUED:
        return None
    if job.status is PROCESSING:
        return _lease_lost(job)
    return _answer_due(job, periods, at, jitter)


def _lease_lost(job: Job) -> Event:
    if job.lost_leases + 1 >= MOST_LOST_LEASES:
        error = JobError(type="worker_lost", detail="the job ended its worker three times")
        return Failed(attempt=job.attempt, error=error, lost=True)
    return Postponed(attempt=job.attempt, delay=timedelta(), lost=True, words={"answer": "the worker's lease ran out"})


def _answer_due(job: Job, periods: Periods, at: datetime, jitter: float) -> Event:
    delivered_at = job.delivered_at or job.created_at
    left = delivered_at + periods.callback_deadline - at
    if job.trouble and job.trouble.kind == TroubleKind.NO_ANSWER:
        delay = retry_delay(job.trouble.count, periods, jitter)
        if delay is not None:
            return Postponed(delay=delay)
        error = JobError(
            type="delivery_no_answer", detail=f"no answer and no callback (tried {_times(job.trouble.count)})"
        )
        return Failed(error=error)
    if left <= timedelta():
        error = JobError(type="callback_deadline", detail="the workflow did not report a result in time")
        return Failed(error=error)
    # Looks double from the time-out on, so a day of silence costs seven lines.
    return Noted(kind=NoteKind.OVERDUE, due_in=min(max(at - delivered_at, periods.callback_timeout), left))


def patience(periods: Periods) -> timedelta:
    """How long a job that was delivered just now may go without its callback before someone looks."""
    return min(periods.callback_timeout, periods.callback_deadline)


def overdue(job: Job, periods: Periods, at: datetime) -> bool:
    """Whether the callback should have come by now. Derived, never stored."""
    return job.status is WAITING and job.delivered_at is not None and at >= job.delivered_at + periods.callback_timeout


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
