"""The bytes of a job: always saved, never shown, by range, with their digest."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.types import Receive, Scope, Send

from app.api.auth import JobIdInPath, Ours, Reader
from app.api.dispositions import attachment
from app.api.openapi import PROBLEMS
from app.api.problems import problem
from app.api.streams import departure
from app.api.v1.conditional import NotSatisfiable, Span, matches, requested_span
from app.domain.errors import FileGone, NotFound
from app.domain.models import FileUploadInfo, Job
from app.domain.protocols import FileStore, StoredContent
from app.domain.signing import Scope as Opens

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=PROBLEMS)

_HARMLESS_FAMILIES = ("image/", "audio/", "video/", "font/", "application/vnd.")
_HARMLESS = frozenset(
    ("text/plain", "text/csv", "application/pdf", "application/json", "application/zip", "application/gzip")
)

reader = Depends(Reader(Opens.FILE))
_ANY = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", **_ANY},
    206: {"description": "A part of it", **_ANY},
    304: {"description": "It is the one that is known"},
}


@router.get("/{job_id}/file", response_class=Response, dependencies=[reader], responses=_BYTES)
@router.head("/{job_id}/file", include_in_schema=False, dependencies=[reader])
async def file(request: Request, job_id: JobIdInPath, services: Ours) -> Response:
    """The file that was handed in, as an attachment."""
    job = await services.log.get(job_id)
    stored = stored_file(job)
    etag, headers = f'"{stored.sha256}"', file_headers(stored)
    if (known := request.headers.get("if-none-match")) and matches(known, etag):
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": headers["Cache-Control"]})
    asked = request.headers.get("range") if request.method == "GET" else None
    try:
        span = requested_span(asked, request.headers.get("if-range"), etag, stored.size)
    except NotSatisfiable:
        detail, missing = f"the file has {stored.size} bytes", {"Content-Range": f"bytes */{stored.size}"}
        return problem(request.url.path, 416, detail, headers=missing)
    return StoredFile(services.files, job, span, headers)


def stored_file(job: Job) -> FileUploadInfo:
    """What the job's file is. Raises NotFound where there never was one, FileGone where it was removed."""
    if job.file_removed_at is not None:
        raise FileGone("the file was removed; the record stays")
    if job.file is None:
        raise NotFound("this job has no file")
    return job.file


def file_headers(file: FileUploadInfo) -> dict[str, str]:
    """Everything that is said about the whole file, whichever part of it is sent."""
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    return {
        "Content-Type": safe_media_type(file.media_type),
        "Content-Disposition": attachment(file.filename),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Accept-Ranges": "bytes",
        "ETag": f'"{file.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "private, no-cache",
    }


def safe_media_type(media_type: str) -> str:
    """The type itself where no browser runs what is inside, else the one for any bytes."""
    harmless = media_type in _HARMLESS or media_type.startswith(_HARMLESS_FAMILIES)
    return media_type if harmless and "xml" not in media_type.partition("+")[2] else "application/octet-stream"


class StoredFile(Response):
    """Sends stored bytes in pieces, and stops reading them when the client has gone."""

    def __init__(self, files: FileStore, job: Job, span: Span | None, headers: Mapping[str, str]) -> None:
        self._files, self._job_id = files, job.job_id
        size = job.file.size if job.file else 0
        self._span = span or Span(0, size)
        more = {"Content-Length": str(self._span.stop - self._span.start)}
        if span:
            more["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        super().__init__(None, 206 if span else 200, {**headers, **more})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises FileGone before anything is sent."""
        async with self._files.open(self._job_id) as content:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_bytes(content, receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_bytes(self, content: StoredContent, receive: Receive, send: Send) -> None:
        async with departure(receive) as gone:
            async for piece in content.chunks(self._span.start, self._span.stop):
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
