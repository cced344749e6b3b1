"""What the service answers with, as frozen values. `raw` is the answer itself, with whatever a newer service adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias

Raw: TypeAlias = Mapping[str, Any]


class JobStatus(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    PROCESSING = "processing"
    WAITING = "waiting"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """True for success, failure and cancelled."""
        return self in (JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUploadInfo:
    """The file that was handed in; `sha256` is lower-case hex."""

    filename: str
    size: int
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Paths on the service. `page` and `file` open without a key: whoever has them may look."""

    self: str
    events: str
    history: str
    file: str | None
    page: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the work is: `fraction` from 0.0 to 1.0, `step` of `steps` counted from 1."""

    fraction: float | None = None
    step: int | None = None
    steps: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed: `type` for programs, `detail` for people."""

    type: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why the last tries failed."""

    kind: str
    since: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How much longer it may take, in seconds: four of five like this one needed between `low` and `high` more."""

    low_seconds: float
    high_seconds: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCreationResponse:
    """The ticket. `replayed` when the idempotency key had made this job before, `joined` when the job was begun for
    somebody else who wants the same."""

    job_id: str
    status: JobStatus
    workflow: str
    created_at: datetime
    file: FileUploadInfo | None
    links: Links
    replayed: bool = False
    joined: bool = False
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInfo:
    """A job as it stood when the service answered."""

    job_id: str
    workflow: str
    status: JobStatus
    overdue: bool
    version: int
    attempt: int
    progress: Progress
    file: FileUploadInfo | None
    params: Mapping[str, Any]
    created_at: datetime
    started_at: datetime | None
    delivered_at: datetime | None
    completed_at: datetime | None
    due_at: datetime | None
    result_message: str | None
    notion_page_url: str | None
    result: Any
    error: JobError | None
    trouble: Trouble | None
    execution_id: str | None
    retry_of: str | None
    estimate: Estimate | None
    links: Links
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One line of a job's history. `detail` is None once erased."""

    version: int
    at: datetime
    type: str
    before: JobStatus | None
    after: JobStatus
    detail: Mapping[str, Any] | None
    hash: str
    prev_hash: str
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRules:
    """Which file a workflow wants."""

    media_types: tuple[str, ...]
    max_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """One kind of work: its parameters as JSON Schema, and its file, or None where it takes none."""

    name: str
    title: str
    parameters: Mapping[str, Any]
    file: FileRules | None
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """How much there is to do. What else the service tells about its queue is in `raw`."""

    counts: Mapping[str, int]
    overdue: int
    oldest_queued_seconds: float | None
    workers: tuple[str, ...] | None
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPart:
    """How one dependency is."""

    status: str
    detail: str | None = None
    count: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The worst of its parts (`ok`, `degraded`, `failed`), and the service's clock when it answered."""

    status: str
    parts: Mapping[str, HealthPart]
    answered_at: datetime | None
    raw: Raw = field(repr=False, compare=False)


def created(raw: Raw, *, replayed: bool) -> JobCreationResponse:
    """Raises KeyError, TypeError or ValueError for what is no such answer, as all of these do."""
    return JobCreationResponse(
        job_id=str(raw["job_id"]),
        status=JobStatus(raw["status"]),
        workflow=raw["workflow"],
        created_at=_at(raw["created_at"]),
        file=_file(raw.get("file")),
        links=_links(raw["links"]),
        replayed=replayed,
        joined=raw.get("joined") is True,
        raw=raw,
    )


def job(raw: Raw) -> JobInfo:
    """A job."""
    progress, error, trouble = raw.get("progress") or {}, raw.get("error"), raw.get("trouble")
    left = raw.get("estimate")
    return JobInfo(
        job_id=str(raw["job_id"]),
        workflow=raw["workflow"],
        status=JobStatus(raw["status"]),
        overdue=bool(raw.get("overdue")),
        version=int(raw["version"]),
        attempt=int(raw.get("attempt") or 0),
        progress=Progress(**{key: progress.get(key) for key in ("fraction", "step", "steps", "message")}),
        file=_file(raw.get("file")),
        params=raw.get("params") or {},
        created_at=_at(raw["created_at"]),
        started_at=_maybe_at(raw.get("started_at")),
        delivered_at=_maybe_at(raw.get("delivered_at")),
        completed_at=_maybe_at(raw.get("completed_at")),
        due_at=_maybe_at(raw.get("due_at")),
        result_message=raw.get("result_message"),
        notion_page_url=raw.get("notion_page_url"),
        result=raw.get("result"),
        error=JobError(type=error["type"], detail=error["detail"]) if error else None,
        trouble=Trouble(kind=trouble["kind"], since=_at(trouble["since"]), count=trouble["count"]) if trouble else None,
        execution_id=raw.get("execution_id"),
        retry_of=raw.get("retry_of"),
        estimate=Estimate(**{key: left[key] for key in ("low_seconds", "high_seconds", "runs")}) if left else None,
        links=_links(raw["links"]),
        raw=raw,
    )


def history_event(raw: Raw) -> HistoryEvent:
    """One line of a history."""
    return HistoryEvent(
        version=int(raw["version"]),
        at=_at(raw["at"]),
        type=raw["type"],
        before=JobStatus(raw["before"]) if raw.get("before") else None,
        after=JobStatus(raw["after"]),
        detail=raw.get("detail"),
        hash=raw["hash"],
        prev_hash=raw["prev_hash"],
        raw=raw,
    )


def workflow(raw: Raw) -> WorkflowInfo:
    """One workflow."""
    rules = raw.get("file")
    file = FileRules(media_types=tuple(rules["media_types"]), max_size=rules["max_size"]) if rules else None
    return WorkflowInfo(name=raw["name"], title=raw["title"], parameters=raw["parameters"], file=file, raw=raw)


def queue(raw: Raw) -> QueueInfo:
    """The state of the queue."""
    workers = raw.get("workers")
    return QueueInfo(
        counts=raw["counts"],
        overdue=int(raw.get("overdue") or 0),
        oldest_queued_seconds=raw.get("oldest_queued_seconds"),
        workers=None if workers is None else tuple(workers),
        raw=raw,
    )


def health(raw: Raw, answered_at: datetime | None) -> Health:
    """The service's own word on its state."""
    known = ("status", "detail", "count", "free_bytes")
    parts = {
        name: HealthPart(**{key: part[key] for key in known if key in part})
        for name, part in raw.items()
        if isinstance(part, Mapping)
    }
    return Health(status=str(raw["status"]), parts=parts, answered_at=answered_at, raw=raw)


def _file(raw: Raw | None) -> FileUploadInfo | None:
    known = ("filename", "size", "sha256", "media_type")
    return FileUploadInfo(**{key: raw[key] for key in known}) if raw else None


def _links(raw: Raw) -> Links:
    return Links(**{key: raw.get(key) for key in ("self", "events", "history", "file", "page")})  # type: ignore[arg-type]


def _at(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _maybe_at(text: str | None) -> datetime | None:
    return None if text is None else _at(text)
