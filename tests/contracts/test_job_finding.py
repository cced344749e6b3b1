"""What every JobSearch promises of looking for a text, a part of an id, or a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.lifecycle import Completed, Failed
from app.domain.models import Job, JobError, JobResult, JobStatus
from app.domain.protocols import LOOKED_THROUGH, Between
from app.infrastructure import job_search_sql, memory_job_search
from tests.contracts.sql_fixtures import Stores
from tests.jobs import AT, FAILED, STARTED, receipt

SECOND = timedelta(seconds=1)


async def found(stores: Stores, limit: int = 50, **wanted: object) -> list[Job]:
    return (await stores.search.page(limit=limit, **wanted)).jobs


@pytest.mark.parametrize("text", ["Invoice", "invoice", "NVOICE 7", "100 %", "under_score", "it!"])
async def test_a_text_is_found_in_the_files_name_in_either_case_and_means_only_itself(
    stores: Stores, text: str
) -> None:
    job = await stores.added(file=receipt(filename="invoice 7, 100 % under_score it!.pdf"))
    await stores.added(file=receipt(filename="invoi 100 percent underXscore"))
    assert await found(stores, text=text) == [job]


async def test_a_text_is_found_in_subject_result_error_and_execution_id(stores: Stores) -> None:
    about = await stores.added(subject="ada lovelace", file=None, created_at=AT)
    done = await stores.added(
        STARTED, Completed(result=JobResult(message="Lovelace made a page")), created_at=AT + SECOND
    )
    broken = Failed(error=JobError(type="x", detail="no database for LOVELACE"))
    failed = await stores.added(broken, created_at=AT + 2 * SECOND)
    await stores.added(file=receipt(filename="other.txt"), created_at=AT + 3 * SECOND)
    called = await stores.added(
        STARTED, Completed(result=JobResult(), execution_id="lovelace-9"), created_at=AT + 4 * SECOND
    )
    assert await found(stores, text="lovelace") == [called, failed, done, about]


async def test_the_beginning_of_an_id_finds_its_jobs_however_old_they_are(stores: Stores) -> None:
    old = await stores.added(created_at=AT - timedelta(days=400))
    await stores.added()
    for length in (8, 9, 13, 36):
        assert await found(stores, text=str(old.job_id)[:length].upper()) == [old]


async def test_what_looks_like_an_id_but_is_none_is_looked_for_as_text(stores: Stores) -> None:
    job = await stores.added(file=receipt(filename="2026-1123.pdf"))
    assert await found(stores, text="2026-1123") == [job]
    assert await found(stores, text="1123") == [job]
    assert await found(stores, text="9999") == []


async def test_times_bound_when_a_job_was_handed_in(stores: Stores) -> None:
    first, second, third = [await stores.added(created_at=AT + number * SECOND) for number in range(3)]
    assert await found(stores, handed_in=Between(since=AT + SECOND)) == [third, second]
    assert await found(stores, handed_in=Between(before=AT + SECOND)) == [first]
    assert await found(stores, handed_in=Between(since=AT + SECOND, before=AT + 2 * SECOND)) == [second]


async def test_wishes_add_up_and_pages_go_on(stores: Stores) -> None:
    jobs = [await stores.added(FAILED, created_at=AT + number * SECOND) for number in range(4)]
    await stores.added(created_at=AT + 5 * SECOND)
    wanted = {"status": JobStatus.FAILURE, "workflow": "n8n_notion", "text": "receipt"}
    wanted["handed_in"] = Between(since=AT + SECOND)
    first = await stores.search.page(**wanted, limit=2)
    assert first.jobs == [jobs[3], jobs[2]]
    second = await stores.search.page(**wanted, limit=2, cursor=first.next)
    assert (second.jobs, second.next) == ([jobs[1]], None)


async def test_a_rare_text_is_looked_for_piece_by_piece(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOOKED_THROUGH >= 1000
    for module in (job_search_sql, memory_job_search):
        monkeypatch.setattr(module, "LOOKED_THROUGH", 3)
    rare = await stores.added(file=receipt(filename="rare.txt"), created_at=AT)
    for number in range(1, 7):
        await stores.added(created_at=AT + number * SECOND)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = await stores.search.page(text="rare", limit=2, cursor=cursor)
        seen, cursor, pages = [*seen, *page.jobs], page.next, pages + 1
    assert (seen, pages) == ([rare], 3)
