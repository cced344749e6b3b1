"""What Uploads promises, on every pair of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.domain.errors import ToolRefused
from app.domain.models import Job, new_job_id
from app.infrastructure import uploads_stored
from app.infrastructure.memory_file_store import MemoryFileStore
from app.infrastructure.uploads_stored import StoredUploads
from tests.contracts.sql_fixtures import Stores
from tests.jobs import AT, CANCELLED, ERASED, accepted

OWLS = "Barn owls hunt at night, and they live in old barns."
TIDES = "The tide comes twice a day along most coasts."


class Shelf:
    """Uploads, and how they come about."""

    def __init__(self, stores: Stores) -> None:
        self.stores, self.files = stores, MemoryFileStore()
        self.uploads = StoredUploads(stores.log, stores.search, self.files)

    async def upload(self, name: str, content: str | bytes) -> Job:
        async def chunks() -> AsyncIterator[bytes]:
            yield content.encode() if isinstance(content, str) else content

        job_id = new_job_id(AT)
        info = await self.files.save(job_id, name, chunks(), 1000)
        job, line = accepted(job_id=job_id, file=info)
        await self.stores.log.add(job, line)
        return job


@pytest.fixture
def shelf(stores: Stores) -> Shelf:
    return Shelf(stores)


async def test_a_file_is_read_by_the_id_of_its_job_whatever_its_name_ends_with(shelf: Shelf) -> None:
    for name in ("owls.txt", "owls", "owls.log"):
        page = await shelf.uploads.read((await shelf.upload(name, OWLS)).job_id)
        assert (page.url, page.text) == (name, OWLS)
    page = await shelf.uploads.read((await shelf.upload("owls", f"<html><body><p>{OWLS}</p></body></html>")).job_id)
    assert page.text.strip() == OWLS


async def test_what_is_gone_or_no_document_is_refused(shelf: Shelf) -> None:
    without = await shelf.stores.added(file=None)
    picture = await shelf.upload("owl.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    job = await shelf.upload("owls.txt", OWLS)
    for job_id in (without.job_id, picture.job_id, new_job_id(AT)):
        with pytest.raises(ToolRefused):
            await shelf.uploads.read(job_id)
    await shelf.stores.log.erase(*shelf.stores.next(await shelf.stores.happened(job, CANCELLED), ERASED))
    with pytest.raises(ToolRefused):
        await shelf.uploads.read(job.job_id)


async def test_the_newest_are_searched_each_text_once_and_what_is_no_document_is_left_out(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (("old.txt", OWLS), ("tides.md", TIDES), ("owls.txt", OWLS), ("bad.pdf", "%PDF-1.4 broken")):
        await shelf.upload(name, content)
    for _ in range(2):  # the second time from what was kept
        found = await shelf.uploads.find("where do owls live", 10)
        assert [hit.text for hit in found.hits] == [OWLS]
        assert (found.hits[0].published_at, found.missing) == (AT, ())
    assert [hit.url for hit in (await shelf.uploads.find("tide coasts owls", 1)).hits] == ["tides.md"]
    monkeypatch.setattr(uploads_stored, "MOST_FILES", 1)
    assert (await shelf.uploads.find("owls", 10)).missing == ("Only the newest 1 uploads were searched.",)
