"""What Uploads promises, on every pair of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.domain.errors import ToolRefused
from app.domain.models import new_job_id
from app.infrastructure.memory_file_store import MemoryFileStore
from app.infrastructure.uploads_stored import StoredUploads
from tests.contracts.sql_fixtures import Stores
from tests.jobs import AT, CANCELLED, ERASED, accepted

CONTENT = b"Barn owls hunt at night."


async def content() -> AsyncIterator[bytes]:
    yield CONTENT


async def test_a_file_is_read_by_the_id_of_its_job_and_refused_once_it_is_gone(stores: Stores) -> None:
    files = MemoryFileStore()
    uploads = StoredUploads(stores.log, files)
    job, line = accepted()
    info = await files.save(job.job_id, "owls.txt", content(), 100)
    job, line = accepted(job_id=job.job_id, file=info)
    await stores.log.add(job, line)
    found = await uploads.read(job.job_id, len(CONTENT))
    assert (found.name, found.content, found.media_type) == ("owls.txt", CONTENT, "text/plain")
    with pytest.raises(ToolRefused, match="larger"):
        await uploads.read(job.job_id, len(CONTENT) - 1)
    without = await stores.added(file=None)
    for job_id in (without.job_id, new_job_id(AT)):
        with pytest.raises(ToolRefused):
            await uploads.read(job_id, 100)
    ended = await stores.happened(job, CANCELLED)
    await files.remove(job.job_id)
    with pytest.raises(ToolRefused):
        await uploads.read(job.job_id, 100)
    await stores.log.erase(*stores.next(ended, ERASED))
    with pytest.raises(ToolRefused):
        await uploads.read(job.job_id, 100)
