"""What the API answers with: jobs, pages of jobs, histories. Every time in RFC 3339, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, PlainSerializer
from pydantic_core import to_json
from starlette.responses import Response

from app.domain.audit import timestamp
from app.domain.models import JobStatus

Time = Annotated[
    datetime, PlainSerializer(timestamp, return_type=str), Field(json_schema_extra={"format": "date-time"})
]


class FileUploadInfo(BaseModel):
    """The file that was handed in."""

    filename: str
    size: int
    sha256: str
    media_type: str


class Links(BaseModel):
    """Where to go from a job. `file` and `page` carry a token and open without a key; `file` is null without a file."""

    self: str
    events: str
    history: str
    file: str | None
    page: str


class JobCreationResponse(BaseModel):
    """The ticket: bytes and row are on disk."""

    job_id: UUID
    status: JobStatus
    workflow: str
    created_at: Time
    file: FileUploadInfo | None
    links: Links
    joined: Annotated[bool, Field(exclude_if=lambda joined: not joined)] = False
    """True, and only then told, when the job was begun for somebody else who wants the same."""


class ProgressInfo(BaseModel):
    """How far the work is."""

    fraction: float | None
    step: int | None
    steps: int | None
    message: str | None


class ErrorInfo(BaseModel):
    """Why a job failed."""

    type: str
    detail: str


class TroubleInfo(BaseModel):
    """Why the last tries failed."""

    kind: str
    since: Time
    count: int


class EstimateInfo(BaseModel):
    """How much longer it may take: four of five jobs of the workflow that were as old as this one needed between
    `low_seconds` and `high_seconds` more; `runs` is how many they were."""

    low_seconds: float
    high_seconds: float
    runs: int


class JobInfo(BaseModel):
    """A job as it stands. `estimate` is of the moment, and null where fewer than ten jobs tell anything about it; the
    `ETag` does not change with it."""

    job_id: UUID
    workflow: str
    status: JobStatus
    overdue: bool
    version: int
    attempt: int
    progress: ProgressInfo
    file: FileUploadInfo | None
    params: dict[str, Any]
    created_at: Time
    started_at: Time | None
    delivered_at: Time | None
    completed_at: Time | None
    due_at: Time | None
    result_message: str | None
    notion_page_url: str | None
    result: Any
    error: ErrorInfo | None
    trouble: TroubleInfo | None
    execution_id: str | None
    retry_of: UUID | None
    estimate: EstimateInfo | None = None
    links: Links


class JobList(BaseModel):
    """One page of jobs, newest first; `next` is the cursor of the page behind it."""

    jobs: list[JobInfo]
    next: str | None


class HistoryEvent(BaseModel):
    """One line of a job's history. `facts` and `commitment` are what `hash` covers beside the named members."""

    version: int
    at: Time
    type: str
    before: JobStatus | None
    after: JobStatus
    detail: dict[str, Any] | None
    facts: dict[str, Any]
    commitment: str | None
    hash: str
    prev_hash: str


class History(BaseModel):
    """All lines of a job, oldest first."""

    events: list[HistoryEvent]


class CallbackAnswer(BaseModel):
    """Whether a callback changed the job, and why not."""

    applied: bool
    reason: str | None = None
    job: JobInfo


def json_response(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The model as a JSON response, serialised once."""
    return Response(body.model_dump_json(), status, headers, "application/json")


def facts_response(facts: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The members of a model as the JSON that the model itself would become."""
    return Response(to_json(facts, inf_nan_mode="null"), status, headers, "application/json")
