"""What was handed in with jobs, as a tool of steps."""

from __future__ import annotations

from app.domain.errors import FileGone, JobNotFound, ToolRefused, ToolTrouble, Unavailable
from app.domain.models import JobId
from app.domain.protocols import FileStore, JobLogStore
from app.domain.tools import Upload


class StoredUploads:
    """From the job log and the file store."""

    def __init__(self, log: JobLogStore, files: FileStore) -> None:
        self._log, self._files = log, files

    async def read(self, job_id: JobId, longest: int) -> Upload:
        try:
            job = await self._log.get(job_id)
            if job.file is None or job.salt is None:
                raise ToolRefused(f"the job {job_id} has no file (any more)")
            if job.file.size > longest:
                raise ToolRefused(f"the file of the job {job_id} is larger than {longest} bytes")
            async with self._files.open(job_id) as content:
                data = b"".join([chunk async for chunk in content.chunks()])
        except (JobNotFound, FileGone):
            raise ToolRefused(f"there is no file of a job {job_id} (any more)") from None
        except Unavailable as error:
            raise ToolTrouble(str(error), error.retry_after) from error
        return Upload(name=job.file.filename, content=data, media_type=job.file.media_type)
