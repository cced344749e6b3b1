"""What every JobSearch promises."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from app.domain.errors import Invalid
from app.domain.lifecycle import Noted, NoteKind, Postponed
from app.domain.models import Job, JobId, JobStatus, new_job_id
from tests.contracts.sql_fixtures import Stores, refusal
from tests.jobs import AT, CANCELLED, COMPLETED, DELIVERED, FAILED, STARTED

SECOND = timedelta(seconds=1)
REMOVED = Noted(kind=NoteKind.FILE_REMOVED)


async def many(stores: Stores, count: int) -> list[Job]:
    """Jobs, newest first."""
    return [await stores.added(created_at=AT + number * SECOND) for number in range(count)][::-1]


async def test_a_page_is_newest_first_by_id(stores: Stores) -> None:
    jobs = await many(stores, 5)
    page = await stores.search.page()
    assert page.jobs == jobs
    assert page.next is None


async def test_the_cursor_leads_through_all_pages_without_gap_or_repeat(stores: Stores) -> None:
    jobs = await many(stores, 7)
    seen: list[Job] = []
    cursor = None
    for expected in (3, 3, 1):
        page = await stores.search.page(limit=3, cursor=cursor)
        assert len(page.jobs) == expected
        seen += page.jobs
        cursor = page.next
    assert cursor is None
    assert seen == jobs


async def test_a_job_that_comes_meanwhile_does_not_disturb_the_pages(stores: Stores) -> None:
    jobs = await many(stores, 4)
    first = await stores.search.page(limit=2)
    await stores.added(created_at=AT + timedelta(hours=1))
    assert (await stores.search.page(limit=2, cursor=first.next)).jobs == jobs[2:]


async def test_a_full_last_page_has_no_next(stores: Stores) -> None:
    await many(stores, 2)
    assert (await stores.search.page(limit=2)).next is None


async def test_pages_of_a_status_a_workflow_or_both(stores: Stores) -> None:
    queued = await stores.added(created_at=AT)
    failed = await stores.added(FAILED, created_at=AT + SECOND)
    report = await stores.added(FAILED, workflow="report", created_at=AT + 2 * SECOND)
    search = stores.search
    assert (await search.page(status=JobStatus.FAILURE)).jobs == [report, failed]
    assert (await search.page(workflow="n8n_notion")).jobs == [failed, queued]
    assert (await search.page(workflow="n8n_notion", status=JobStatus.FAILURE)).jobs == [failed]
    assert (await search.page(workflow="nobody's")).jobs == []
    first = await search.page(status=JobStatus.FAILURE, limit=1)
    assert (await search.page(status=JobStatus.FAILURE, limit=1, cursor=first.next)).jobs == [failed]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "not a cursor",
        "ä",
        "AAAA",
        "=" * 22,
        "A" * 23,
        "A" * 5000,
        base64.urlsafe_b64encode(b"0" * 16).decode(),
    ],
)
async def test_a_cursor_that_is_not_ours_is_invalid(stores: Stores, cursor: str) -> None:
    error = await refusal(stores.search.page(cursor=cursor))
    assert isinstance(error, Invalid)
    assert [problem.field for problem in error.problems] == ["cursor"]


async def test_counts_are_by_workflow_and_status(stores: Stores) -> None:
    for events in ([], [], [STARTED], [FAILED], [CANCELLED]):
        await stores.added(*events)
    await stores.added(STARTED, COMPLETED, workflow="report")
    counts = await stores.search.counts({})
    assert counts.by_workflow == {
        ("n8n_notion", JobStatus.QUEUED): 2,
        ("n8n_notion", JobStatus.PROCESSING): 1,
        ("n8n_notion", JobStatus.FAILURE): 1,
        ("n8n_notion", JobStatus.CANCELLED): 1,
        ("report", JobStatus.SUCCESS): 1,
    }


async def test_counts_say_since_when_the_oldest_queued_and_the_oldest_of_all_have_been_due(stores: Stores) -> None:
    empty = await stores.search.counts({})
    assert (empty.by_workflow, empty.oldest_queued_at, empty.oldest_due_at, empty.overdue) == ({}, None, None, 0)
    processing = await stores.added(STARTED)
    postponed = await stores.added(STARTED, Postponed(delay=timedelta(minutes=1)))
    counts = await stores.search.counts({})
    assert (counts.oldest_queued_at, counts.oldest_due_at) == (postponed.due_at, processing.due_at)
    new = await stores.added(created_at=AT + 2 * SECOND)
    counts = await stores.search.counts({})
    assert (counts.oldest_queued_at, counts.oldest_due_at) == (new.due_at, new.due_at)


async def test_a_waiting_job_is_overdue_up_to_the_delivery_time_that_is_given_for_its_workflow(stores: Stores) -> None:
    job = await stores.added(STARTED, DELIVERED)
    report = await stores.added(STARTED, DELIVERED, workflow="report")
    await stores.added(STARTED, DELIVERED, COMPLETED)
    await stores.added(STARTED)
    at = job.delivered_at
    assert at is not None
    assert at == report.delivered_at
    assert (await stores.search.counts({"n8n_notion": at})).overdue == 1
    assert (await stores.search.counts({"n8n_notion": at - timedelta(microseconds=1)})).overdue == 0
    assert (await stores.search.counts({"n8n_notion": at, "report": at, "other": at})).overdue == 2


async def test_versions_are_the_stored_ones_and_jobs_that_do_not_exist_are_left_out(stores: Stores) -> None:
    new, started = await stores.added(), await stores.added(STARTED)
    unknown: JobId = new_job_id(AT)
    found = await stores.search.versions([new.job_id, started.job_id, unknown])
    assert found == {new.job_id: 1, started.job_id: 2}
    assert await stores.search.versions([]) == {}


async def test_versions_of_very_many_jobs_can_be_asked_for_at_once(stores: Stores) -> None:
    job = await stores.added()
    ids = [JobId(new_job_id(AT)) for _ in range(40_000)]
    assert await stores.search.versions([*ids, job.job_id]) == {job.job_id: 1}


async def test_removable_are_jobs_that_ended_before_this_time_and_still_have_their_file_oldest_first(
    stores: Stores,
) -> None:
    later = await stores.added(FAILED, created_at=AT + SECOND)
    first = await stores.added(STARTED, COMPLETED, created_at=AT - timedelta(hours=1))
    await stores.added(STARTED)
    await stores.added(CANCELLED, REMOVED)
    await stores.added(CANCELLED, file=None)
    await stores.added(CANCELLED, created_at=AT + 2 * SECOND)
    ended_before = AT + 2 * SECOND
    assert await stores.search.removable(ended_before, 10) == [first, later]
    assert await stores.search.removable(ended_before, 1) == [first]
    assert await stores.search.removable(later.completed_at or AT, 10) == [first]
