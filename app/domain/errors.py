"""Every failure the service knows by name. No HTTP numbers here: `app.api.problems` maps branches to responses.

CallslipError
├── NotFound
│   ├── JobNotFound
│   ├── ScheduleNotFound
│   └── FileGone                 the bytes were removed, the record stays
├── Conflict
│   ├── JobHasEnded              cancel came too late
│   └── JobNotRetryable          only failure and cancelled may be tried again
├── Rejected                     the caller must change something
│   ├── NotAuthentic
│   ├── Malformed
│   ├── TooLarge
│   ├── TooSlow
│   ├── UnsupportedMediaType
│   └── Invalid                  well-formed, but fields are refused; carries each of them
│       └── IdempotencyKeyReused
├── Unavailable                  the same call may succeed later; carries retry_after
│   ├── OverQuota
│   ├── Overloaded
│   ├── DiskFull
│   └── StoreUnavailable
├── Race                         somebody else was faster; never leaves the services
│   ├── StaleJob                 compare-and-set met another version
│   ├── StaleAttempt             a worker reports for an attempt that is no longer its own
│   ├── IllegalTransition        the table has no such cell
│   ├── NotDue                   started before its time
│   ├── SubjectFull              as many jobs as may be about its subject are under way or older
│   └── DuplicateJob             a unique key is taken; carries the job that holds it
├── DeliveryTrouble              the far side did not take the job; becomes an event
├── ToolTrouble                  a step's outside did not answer this time; carries retry_after; the step is tried again
├── ToolRefused                  a step's outside will not do this; the job fails with these words
└── Misconfigured                the service refuses to start; carries one line per problem
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.domain.quotas import Margin


class CallslipError(Exception):
    """Root of the tree. `str(error)` is a sentence that may be shown to a client."""


class NotFound(CallslipError):
    """What was asked for does not exist."""


class JobNotFound(NotFound):
    """No job has this id."""


class ScheduleNotFound(NotFound):
    """No schedule has this id."""


class FileGone(NotFound):
    """The job had a file; it was removed by retention or erasure."""


class Conflict(CallslipError):
    """The job is in a state in which this cannot be done."""


class JobHasEnded(Conflict):
    """The job is success, failure or cancelled already."""


class JobNotRetryable(Conflict):
    """Only a job that ended in failure or was cancelled can be retried."""


class Rejected(CallslipError):
    """The caller must change the request."""


class NotAuthentic(Rejected):
    """Missing, wrong, foreign or expired credentials."""


class Malformed(Rejected):
    """The body cannot be read as what it claims to be."""


class TooLarge(Rejected):
    """A limit on size was passed."""


class TooSlow(Rejected):
    """The client sends its body below the lowest accepted rate."""


class UnsupportedMediaType(Rejected):
    """The content is of a type that the workflow does not take."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One refused field and why, in words."""

    field: str
    message: str


class Invalid(Rejected):
    """Well-formed but refused; `problems` names every field."""

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class IdempotencyKeyReused(Invalid):
    """The key belongs to a job with other content."""


class Unavailable(CallslipError):
    """Nothing was kept; the same request may succeed after `retry_after`."""

    def __init__(self, message: str, retry_after: timedelta = timedelta(seconds=5)) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OverQuota(Unavailable):
    """This client has used up a quota; `margins` says what is left of each."""

    def __init__(
        self, message: str, retry_after: timedelta = timedelta(seconds=5), margins: Sequence[Margin] = ()
    ) -> None:
        super().__init__(message, retry_after)
        self.margins = tuple(margins)


class Overloaded(Unavailable):
    """Too many uploads at once."""


class DiskFull(Unavailable):
    """Less free space than the configured floor, or a write met a full disk."""


class StoreUnavailable(Unavailable):
    """The database did not answer or did not commit."""


class Race(CallslipError):
    """Somebody else changed the job first."""


class StaleJob(Race):
    """The stored version is not the one this change was made from."""


class StaleAttempt(Race):
    """The event names an attempt that is not the job's current one."""


class IllegalTransition(Race):
    """The life cycle has no such step from the job's status."""


class NotDue(Race):
    """A queued job was started before its due time."""


class SubjectFull(Race):
    """A job's subject has no free place, or an older job has it first. The job stays in line."""


class DuplicateJob(Race):
    """A unique key is held by another job, named by `job_id`. Where it is an idempotency key, `fingerprint` is of what
    was handed in under it."""

    def __init__(self, message: str, job_id: UUID, fingerprint: str | None = None) -> None:
        super().__init__(message)
        self.job_id, self.fingerprint = job_id, fingerprint


class DeliveryTrouble(CallslipError):
    """The far side did not take the job this time.

    `kind` is a `TroubleKind`; `str(error)` says what happened in words fit for an operator and holds no secret.
    `retry_after` is the far side's own wish, if it told one; `words` are what else the history keeps of the attempt.
    """

    def __init__(self, kind: str, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after
        self.words: Mapping[str, Any] = {}


class ToolTrouble(CallslipError):
    """Something outside that a local step needs did not answer this time. `retry_after`: what it asked for, if it did."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ToolRefused(CallslipError):
    """Something outside that a local step needs will not do this, however often it is asked."""


class Misconfigured(CallslipError):
    """The service refuses to start. `problems` holds one line each, naming the variable and the remedy."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
