"""A job's history as it is written: Server-Sent Events, each line once, resumable."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.types import Receive, Scope, Send

from app.api.auth import JobIdInPath, Ours, Reader
from app.api.openapi import PROBLEMS
from app.api.streams import departure, heard
from app.api.v1.views import history_event
from app.domain.errors import Unavailable
from app.domain.models import AuditEvent, Job
from app.domain.protocols import Watch
from app.domain.signing import Scope as Opens
from app.services import Services

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=PROBLEMS)

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Content-Type": "text/event-stream; charset=utf-8"}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "One event for each line of the history"}
}

reader = Depends(Reader(Opens.PAGE))


@router.get("/{job_id}/events", response_class=Response, dependencies=[reader], responses=_STREAM)
async def events(
    request: Request, job_id: JobIdInPath, services: Ours, last_event_id: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """Every line of the history, then new ones as they come; ends when the job has ended."""
    job = await services.log.get(job_id)
    return EventStream(services, job, resume_point(request.headers.get("last-event-id", last_event_id), job))


def resume_point(last_event_id: str, job: Job) -> int:
    """Behind which line to begin; what is no line's number begins at the first."""
    known = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 10
    return min(int(last_event_id), job.version) if known else 0


def frame(line: AuditEvent) -> bytes:
    """One line as an event; JSON has no line breaks of its own."""
    return f"id: {line.version}\nevent: {line.type}\ndata: {history_event(line).model_dump_json()}\n\n".encode()


class EventStream(Response):
    """Sends lines as long as the client stays and the job goes on. One task besides its own, and no copy of anything."""

    def __init__(self, services: Services, job: Job, after: int) -> None:
        super().__init__(None, 200, _HEADERS)
        del self.headers["content-length"]
        self._services, self._job, self._after = services, job, after
        self._ended = job.status.ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Ends with the job, or with the client."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with suppress(Unavailable):  # the client comes back by itself, and goes on where it was
            async with self._services.feed.watch(self._job.job_id) as ear, departure(receive) as gone:
                await self._follow(ear, gone, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, ear: Watch, gone: asyncio.Task[None], send: Send) -> None:
        await self._send_lines(send)
        while not self._ended and not gone.done():
            if await heard(ear, gone, self._services.sse_heartbeat):
                await self._send_lines(send)
            else:
                await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})

    async def _send_lines(self, send: Send) -> None:
        lines = await self._services.log.history(self._job.job_id, self._after)
        if not lines:
            return
        body = b"".join(frame(line) for line in lines)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._after, self._ended = lines[-1].version, lines[-1].after.ended
