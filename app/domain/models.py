"""The values the whole service speaks in: a job, its file, its progress, its history. Frozen; standard library only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NewType, TypeAlias
from uuid import UUID

from app.domain.chance import chance

JobId = NewType("JobId", UUID)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class JobStatus(StrEnum):
    """Where a job is. Who moves it on stands beside each."""

    QUEUED = "queued"  # a worker, at due_at
    PROCESSING = "processing"  # its worker; when the lease at due_at ends, the sweep
    WAITING = "waiting"  # the workflow's callback; at due_at, the sweep
    SUCCESS = "success"  # nobody: final
    FAILURE = "failure"  # only a success that the workflow itself reports
    CANCELLED = "cancelled"  # nobody: final

    @property
    def ended(self) -> bool:
        """True for success, failure and cancelled."""
        return self in ENDED


ENDED = frozenset({JobStatus.SUCCESS, JobStatus.FAILURE, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUploadInfo:
    """What was handed in. `filename` is cleaned text for people, never a path; `sha256` is lower-case hex;
    `media_type` was found from the content; `size` is in bytes."""

    filename: str
    size: int
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the work is: `fraction` from 0.0 to 1.0, `step` of `steps` counted from 1, words for people."""

    fraction: float | None = None
    step: int | None = None
    steps: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why the last tries failed: one kind at a time, since when, how often in a row."""

    kind: str
    since: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed: a stable `type` for programs, `detail` for people."""

    type: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What the workflow reported: words, an optional page, optional JSON of its own."""

    message: str | None = None
    notion_page_url: str | None = None
    data: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One unit of work and its current state. Only `app.domain.lifecycle` makes a changed one.

    `version` counts audit lines, `head` is the hash of the newest, `attempt` counts starts and is the worker's fence,
    `due_at` is when someone must look again if nothing happens (None exactly when ended). `salt` (hex) binds the
    erasable details to the chain; it is None once the job was erased.
    """

    job_id: JobId
    client: str
    workflow: str
    status: JobStatus = JobStatus.QUEUED
    version: int = 0
    attempt: int = 0
    lost_leases: int = 0
    notes: int = 0
    file: FileUploadInfo | None = None
    params: Mapping[str, Json] = field(default_factory=dict)
    subject: str | None = None
    dedup_key: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    delivered_at: datetime | None = None
    completed_at: datetime | None = None
    due_at: datetime | None
    file_removed_at: datetime | None = None
    progress: Progress = field(default_factory=Progress)
    trouble: Trouble | None = None
    result: JobResult = field(default_factory=JobResult)
    error: JobError | None = None
    execution_id: str | None = None
    retry_of: JobId | None = None
    salt: str | None = None
    head: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of a job's history. `facts` holds the codes and figures that the chain covers in clear, `detail` the
    personal or wordy part (None once erased), of which the chain covers only `commitment`. Hashes are lower-case hex.
    """

    job_id: JobId
    version: int
    at: datetime
    type: str
    before: JobStatus | None
    after: JobStatus
    facts: Mapping[str, Json]
    commitment: str | None
    prev_hash: str
    hash: str
    detail: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True)
class ParamPart:
    """One parameter of a submission, as the client sent it."""

    name: str
    value: Json


@dataclass(frozen=True, slots=True)
class FilePart:
    """The file of a submission: the client's name for it, and its bytes, to be read once."""

    filename: str
    chunks: AsyncIterator[bytes]


def new_job_id(at: datetime) -> JobId:
    """A UUID of version 7 (RFC 9562): the first 48 bits are `at` in milliseconds, so ids sort by time."""
    milliseconds = int(at.timestamp() * 1000) & (1 << 48) - 1
    random = int.from_bytes(chance(10))
    value = milliseconds << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return JobId(UUID(int=value))


def created_at(job_id: JobId) -> datetime:
    """The time inside a version 7 id, to the millisecond."""
    return datetime.fromtimestamp((job_id.int >> 80) / 1000, UTC)


def first_id(at: datetime) -> JobId:
    """The smallest id that a job made at `at` or later can have, to the millisecond: ids are a clock of their own."""
    return JobId(UUID(int=(int(at.timestamp() * 1000) & (1 << 48) - 1) << 80))


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """That a job ended, still to be told to the operator's address. `tries` counts the failed ones."""

    job_id: JobId
    version: int
    due_at: datetime
    tries: int
