"""Whether the service lives and is ready. Open: to be put behind the operator's proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Literal, TypeVar

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.auth import Ours
from app.domain.errors import Unavailable
from app.domain.protocols import QueueReport
from app.services import Services

router = APIRouter(prefix="/health", tags=["health"])

T = TypeVar("T")
PATIENCE = 3.0  # seconds for each dependency
State = Literal["ok", "degraded", "failed"]


class Dependency(BaseModel):
    """How one dependency is; `count` is for workers, `free_bytes` for the file store."""

    status: State
    detail: str | None = None
    count: int | None = None
    free_bytes: int | None = None


class Readiness(BaseModel):
    """The worst of its parts. Without queue or worker the service is degraded: it still takes jobs."""

    status: State
    database: Dependency
    queue: Dependency
    file_store: Dependency
    workers: Dependency


class Liveness(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


@router.get("/live", response_model=Liveness)
async def live() -> Response:
    """Whether the process runs."""
    return _health(Liveness())


@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness}})
async def ready(services: Ours) -> Response:
    """Whether jobs can be handed in, with each dependency."""
    readiness = await readiness_of(services)
    return _health(readiness, 503 if readiness.status == "failed" else 200)


@router.get("", response_model=Readiness, responses={503: {"model": Readiness}})
async def health(services: Ours) -> Response:
    """The same as `/health/ready`."""
    return await ready(services)


for path, answer in (("", health), ("/live", live), ("/ready", ready)):  # as many monitors ask
    router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)


async def readiness_of(services: Services, patience: float = PATIENCE) -> Readiness:
    """Asks all dependencies at the same time, each for as many seconds."""
    database, free, report = await asyncio.gather(
        _asked(services.database_check(), patience),
        _asked(services.files.check(), patience),
        _asked(services.queue.report(), patience),
    )
    parts = {
        "database": _away(database, "failed") or Dependency(status="ok"),
        "queue": _away(report, "degraded") or Dependency(status="ok"),
        "file_store": _away(free, "failed")
        or Dependency(status="ok", free_bytes=free if isinstance(free, int) else None),
        "workers": _workers(report),
    }
    found = {part.status for part in parts.values()}
    worst: State = "failed" if "failed" in found else "degraded" if "degraded" in found else "ok"
    return Readiness(status=worst, **parts)


async def _asked(question: Awaitable[T], patience: float) -> T | Unavailable:
    try:
        async with asyncio.timeout(patience):
            return await question
    except Unavailable as error:
        return error
    except TimeoutError:
        return Unavailable(f"no answer within {patience:g} seconds")


def _away(answer: object, status: State) -> Dependency | None:
    return Dependency(status=status, detail=str(answer)) if isinstance(answer, Unavailable) else None


def _workers(report: QueueReport | Unavailable) -> Dependency:
    if isinstance(report, Unavailable):
        return Dependency(status="degraded", detail="unknown while the queue is away")
    if not report.workers:
        return Dependency(status="degraded", detail="no worker is running; jobs are kept until one comes", count=0)
    return Dependency(status="ok", count=len(report.workers))


def _health(body: BaseModel, status: int = 200) -> Response:
    text = body.model_dump_json(exclude_none=True)
    return Response(text, status, {"Cache-Control": "no-store"}, "application/json")
