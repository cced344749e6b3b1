"""Files in memory: for tests and for trying things. Says so when it is built, because nothing survives the process."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from app.domain.errors import FileGone, Malformed, TooLarge
from app.domain.filenames import clean_filename
from app.domain.models import FileUploadInfo, JobId
from app.domain.protocols import StoredContent
from app.infrastructure.media_type import HEAD, media_type

PLENTY = 1 << 40


@dataclass(frozen=True, slots=True)
class _Content:
    data: bytes
    saved_at: float

    @property
    def size(self) -> int:
        return len(self.data)

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        if piece := self.data[start:stop]:
            yield piece


class MemoryFileStore:
    """Keeps the bytes of each job in a dictionary."""

    def __init__(self) -> None:
        logging.getLogger(__name__).warning("files are kept in memory and end with this process")
        self._files: dict[JobId, _Content] = {}

    async def save(self, job_id: JobId, filename: str, chunks: AsyncIterator[bytes], max_size: int) -> FileUploadInfo:
        data = bytearray()
        async for chunk in chunks:
            data += chunk
            if len(data) > max_size:
                raise TooLarge(f"the file is larger than {max_size} bytes")
        if not data:
            raise Malformed("the file is empty")
        content = self._files[job_id] = _Content(bytes(data), time.monotonic())
        return FileUploadInfo(
            filename=clean_filename(filename),
            size=content.size,
            sha256=hashlib.sha256(content.data).hexdigest(),
            media_type=media_type(content.data[:HEAD]),
        )

    async def link(self, job_id: JobId, of: JobId) -> None:
        self._files[job_id] = _Content(self._find(of).data, time.monotonic())

    @asynccontextmanager
    async def open(self, job_id: JobId) -> AsyncIterator[StoredContent]:
        yield self._find(job_id)

    async def remove(self, job_id: JobId) -> None:
        self._files.pop(job_id, None)

    async def orphans(self, older_than: timedelta) -> list[JobId]:
        before = time.monotonic() - older_than.total_seconds()
        return [job_id for job_id, content in self._files.items() if content.saved_at < before]

    async def check(self) -> int:
        return PLENTY

    def _find(self, job_id: JobId) -> _Content:
        try:
            return self._files[job_id]
        except KeyError:
            raise FileGone("the file is no longer kept") from None
