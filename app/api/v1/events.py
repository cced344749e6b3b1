"""A job's history as it is written: Server-Sent Events, each line once, resumable."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.types import Receive, Scope, Send

from app.api.auth import JobIdInPath, Ours, Reader
from app.api.http_protocol import PUSH
from app.api.openapi import PROBLEMS
from app.api.streams import departure
from app.api.v1.channels import STILL_HERE, Channel, Channels, Watcher
from app.domain.errors import Unavailable
from app.domain.models import Job
from app.domain.signing import Scope as Opens

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=PROBLEMS)

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Content-Type": "text/event-stream; charset=utf-8"}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "One event of the stream, as the WHATWG has them; `data` is JSON, as in the history.",
                    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
                    "required": ["id", "event", "data"],
                },
                "example": 'id: 3\nevent: Delivered\ndata: {"version": 3, "type": "Delivered", "after": "waiting", …}\n\n',
            }
        },
        "description": "One event for each line of the history: `id:` is its version, `event:` its type, `data:` the "
        "line as in the history (without what went over the wire, for holders of a link). A comment comes every 15 s. "
        "The stream ends after the event that made the job `success`, `failure` or `cancelled`.",
    }
}

HasKey = Annotated[bool, Depends(Reader(Opens.PAGE))]


@router.get("/{job_id}/events", response_class=Response, responses=_STREAM)
async def events(
    request: Request,
    job_id: JobIdInPath,
    services: Ours,
    has_key: HasKey,
    last_event_id: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Every line of the history, then new ones as they come; ends when the job has ended."""
    job = await services.log.get(job_id)
    after = resume_point(request.headers.get("last-event-id", last_event_id), job)
    return EventStream(request.app.state.channels, job, after, whole=has_key)


def resume_point(last_event_id: str, job: Job) -> int:
    """Behind which line to begin; what is no line's number begins at the first."""
    known = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 10
    return min(int(last_event_id), job.version) if known else 0


class EventStream(Response):
    """Sends lines as long as the client stays and the job goes on. Nothing is read or written down for it alone but
    what it missed. `whole`: with what only operators may see."""

    def __init__(self, channels: Channels, job: Job, after: int, *, whole: bool = True) -> None:
        super().__init__(None, 200, _HEADERS)
        del self.headers["content-length"]
        self._channels, self._job, self._after, self._whole = channels, job, after, whole
        self._ended = job.status.ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ends with the job, or with the client."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        watcher = Watcher(self._after, whole=self._whole, push=scope.get("extensions", {}).get(PUSH))
        with suppress(Unavailable):  # the client comes back by itself, and goes on where it was
            async with self._channels.watch(self._job, watcher) as channel, departure(receive) as gone:
                gone.add_done_callback(lambda _: watcher.wake())
                await self._follow(channel, watcher, gone, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, channel: Channel, watcher: Watcher, gone: asyncio.Task[None], send: Send) -> None:
        await self._send_lines(channel, watcher, send)
        while not (self._ended or channel.broken or gone.done()):
            await watcher.wait()
            if watcher.reminded:
                watcher.reminded = False
                await send({"type": "http.response.body", "body": STILL_HERE, "more_body": True})
            await self._send_lines(channel, watcher, send)

    async def _send_lines(self, channel: Channel, watcher: Watcher, send: Send) -> None:
        body, after, ended = await channel.after(watcher.after, whole=watcher.whole)
        if body:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            watcher.after, self._ended = after, ended
