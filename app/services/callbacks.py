"""What a workflow's report means for its job. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.domain import lifecycle
from app.domain.lifecycle import Completed, Delivered, Event, Failed, Noted, NoteKind, Periods, Progressed
from app.domain.models import Job, JobError, JobResult, JobStatus, Json, Progress

CallbackStatus = Literal["processing", "success", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A workflow's authentic, well-formed message. `result.message` is its `result_message`."""

    status: CallbackStatus
    progress: Progress
    result: JobResult
    error: str | None = None
    execution_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether the report was applied, why not, and the job as it is now."""

    applied: bool
    reason: str | None
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The events that a report leads to; with a `reason` it changes nothing and they are evidence only."""

    events: tuple[Event, ...]
    reason: str | None = None


def read_callback(job: Job, callback: Callback, periods: Periods) -> Reading:
    """What `callback` means for the job as it is."""
    if callback.status == "processing":
        return _progress(job, callback, periods)
    return _success(job, callback) if callback.status == "success" else _failure(job, callback)


def _progress(job: Job, callback: Callback, periods: Periods) -> Reading:
    if job.status.ended:
        return _evidence(job, callback, f"the job has ended: {job.status}")
    progress = _merged(job.progress, callback.progress)
    if progress is None:
        return _evidence(job, callback, "behind the progress already reported")
    known = callback.execution_id in (None, job.execution_id)
    if progress == job.progress and job.status is JobStatus.WAITING and not job.trouble and known:
        return _evidence(job, callback, "a repeat")
    wait, execution_id = lifecycle.patience(periods), callback.execution_id
    progressed = Progressed(progress=progress, due_in=wait, execution_id=execution_id)
    if job.status is JobStatus.WAITING:
        return Reading(events=(progressed,))
    return Reading(events=(Delivered(due_in=wait, execution_id=execution_id), progressed))


def _merged(old: Progress, new: Progress) -> Progress | None:
    """Progress never goes back: None when `new` is behind; what it leaves out stays as it was."""
    if _behind(new.fraction, old.fraction) or (new.fraction is None and _behind(new.step, old.step)):
        return None
    return Progress(
        fraction=old.fraction if new.fraction is None else round(new.fraction, 3),
        step=old.step if new.step is None or _behind(new.step, old.step) else new.step,
        steps=new.steps or old.steps,
        message=new.message or old.message,
    )


def _behind(new: float | None, old: float | None) -> bool:
    return new is not None and old is not None and round(new, 3) < old


def _success(job: Job, callback: Callback) -> Reading:
    if job.status is JobStatus.SUCCESS:
        repeat = job.result == callback.result
        return _evidence(job, callback, "a repeat" if repeat else "the job has ended: success")
    if job.status is JobStatus.CANCELLED:
        return _evidence(job, callback, "the job has ended: cancelled")
    return Reading(events=(Completed(result=callback.result, execution_id=callback.execution_id),))


def _failure(job: Job, callback: Callback) -> Reading:
    detail = callback.error or callback.result.message or "the workflow reported a failure"
    error = JobError(type="workflow", detail=detail)
    if job.status is JobStatus.FAILURE and job.error == error:
        return _evidence(job, callback, "a repeat")
    if job.status.ended:
        return _evidence(job, callback, f"the job has ended: {job.status}")
    failed = Failed(error=error, result_message=callback.result.message, execution_id=callback.execution_id)
    return Reading(events=(failed,))


def _evidence(job: Job, callback: Callback, reason: str) -> Reading:
    words: dict[str, Json] = {"reason": reason, "reported": callback.status}
    if callback.result.message:
        words["reported_message"] = callback.result.message
    if callback.error:
        words["reported_error"] = callback.error[:500]
    noted = Noted(kind=NoteKind.CALLBACK, words=words)
    return Reading(events=(noted,) if job.notes < lifecycle.MOST_NOTES else (), reason=reason)
