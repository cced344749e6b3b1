"""How much there is to do, and who does it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app.api.auth import Ours, client
from app.api.openapi import PROBLEMS
from app.api.v1.schemas import json_response
from app.domain.errors import Unavailable
from app.domain.models import JobStatus
from app.domain.protocols import JobCounts
from app.services import Services

router = APIRouter(prefix="/api/v1/queue", tags=["queue"], responses=PROBLEMS)


class QueueInfo(BaseModel):
    """Jobs by status, and what the queue tells; `workers` and `registries` are null while it is unavailable."""

    counts: dict[JobStatus, int]
    oldest_queued_seconds: float | None
    overdue: int
    queue: Literal["ok", "unavailable"]
    workers: list[str] | None
    registries: dict[str, int] | None


@router.get("", response_model=QueueInfo, dependencies=[Depends(client)])
async def queue(services: Ours) -> Response:
    """The state of the queue. Answers without the queue's own part while the queue is away."""
    counts = await services.counts.now()
    try:
        report = await services.queue.report()
    except Unavailable:
        report = None
    info = QueueInfo(
        counts=by_status(counts),
        oldest_queued_seconds=seconds_since(services, counts.oldest_queued_at),
        overdue=counts.overdue,
        queue="ok" if report else "unavailable",
        workers=list(report.workers) if report else None,
        registries=dict(report.registries) if report else None,
    )
    return json_response(info)


def by_status(counts: JobCounts) -> dict[JobStatus, int]:
    """Every status with its number of jobs, also where it is none."""
    found = Counter(dict.fromkeys(JobStatus, 0))
    for (_, status), number in counts.by_workflow.items():
        found[status] += number
    return dict(found)


def seconds_since(services: Services, at: datetime | None) -> float | None:
    """How long ago that was; never less than nothing."""
    return None if at is None else max((services.clock() - at).total_seconds(), 0.0)
