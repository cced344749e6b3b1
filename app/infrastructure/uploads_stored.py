"""What was handed in with jobs, as a tool of steps: the job log says what there is, the file store holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from app.domain.errors import FileGone, JobNotFound, ToolRefused, ToolTrouble, Unavailable
from app.domain.models import FileUploadInfo, Job, JobId
from app.domain.protocols import FileStore, JobLogStore, JobSearch
from app.domain.tools import Found, Page
from app.infrastructure.document_text import READABLE, document_text
from app.infrastructure.ranked_pages import ranked

LARGEST = 50 * 1024 * 1024
MOST_FILES, MOST_JOBS = 100, 1000  # that one search reads, and looks through for them
MOST_REMEMBERED = 32 * 1024 * 1024  # characters of text that are kept between searches
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ENDING_OF = {"application/pdf": ".pdf", DOCX: ".docx", "text/html": ".html"}
PAGE = 200


class StoredUploads:
    """A search reads the newest files that hold prose, each text once, and keeps what it read."""

    def __init__(self, log: JobLogStore, search: JobSearch, files: FileStore) -> None:
        self._log, self._search, self._files = log, search, files
        self._texts: dict[str, Page | None] = {}  # by the hash of the file; None: it cannot be read
        self._reading = asyncio.Lock()

    async def read(self, job_id: JobId) -> Page:
        try:
            return await self._read(await self._log.get(job_id))
        except (JobNotFound, FileGone):
            raise ToolRefused(f"there is no file of a job {job_id} (any more)") from None
        except Unavailable as error:
            raise ToolTrouble(str(error), error.retry_after) from error

    async def find(self, query: str, limit: int) -> Found:
        async with self._reading:
            try:
                pages = await self._newest()
            except Unavailable as error:
                raise ToolTrouble(str(error), error.retry_after) from error
            more = [f"Only the newest {MOST_FILES} uploads were searched."] if len(pages) == MOST_FILES else []
            return Found(hits=await asyncio.to_thread(ranked, query, pages, limit), missing=tuple(more))

    async def _newest(self) -> list[Page]:
        """The texts of the newest files, at most MOST_FILES. What cannot be read is no document, and left out."""
        known: dict[str, Page | None] = {}
        pages: list[Page] = []
        async for job in self._jobs():
            file = job.file
            if file is None or job.file_removed_at or not file.sha256 or file.sha256 in known or not _is_prose(file):
                continue
            digest = file.sha256
            page = known[digest] = self._texts[digest] if digest in self._texts else await self._tried(job)
            if page is not None:
                pages.append(page)
            if len(pages) == MOST_FILES:
                break
        self._texts = _bounded(known)
        return pages

    async def _tried(self, job: Job) -> Page | None:
        try:
            return await self._read(job)
        except (ToolRefused, FileGone):
            return None

    async def _jobs(self) -> AsyncIterator[Job]:
        cursor = None
        for _ in range(MOST_JOBS // PAGE):
            page = await self._search.page(limit=PAGE, cursor=cursor)
            for job in page.jobs:
                yield job
            if (cursor := page.next) is None:
                return

    async def _read(self, job: Job) -> Page:
        if job.file is None or job.salt is None:
            raise FileGone("the job has no file")
        if job.file.size > LARGEST:
            raise ToolRefused(f"{job.file.filename} is larger than {LARGEST // 1024**2} MiB")
        async with self._files.open(job.job_id) as content:
            data = b"".join([chunk async for chunk in content.chunks()])
        page = await asyncio.to_thread(document_text, job.file.filename + _ending(job.file), data)
        return replace(page, url=job.file.filename, published_at=page.published_at or job.created_at)


def _ending(file: FileUploadInfo) -> str:
    """What is missing at the end of a name that does not say what the content is."""
    if file.filename.lower().endswith(tuple(READABLE)):
        return ""
    return ENDING_OF.get(file.media_type, ".txt" if file.media_type.startswith("text/") else "")


def _is_prose(file: FileUploadInfo) -> bool:
    return f"{file.filename}{_ending(file)}".lower().endswith(tuple(READABLE))


def _bounded(texts: dict[str, Page | None]) -> dict[str, Page | None]:
    """The first of them, together of at most MOST_REMEMBERED characters."""
    kept, size = dict[str, Page | None](), 0
    for digest, page in texts.items():
        size += len(page.text) if page else 0
        if size > MOST_REMEMBERED:
            break
        kept[digest] = page
    return kept
