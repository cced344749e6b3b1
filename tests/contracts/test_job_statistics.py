"""What every JobStatistics promises."""

from __future__ import annotations

from datetime import timedelta

from app.domain.models import JobStatus
from tests.contracts.sql_fixtures import Stores
from tests.jobs import AT, COMPLETED, FAILED, STARTED

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


async def test_durations_are_those_of_the_newest_successes_of_the_workflow(stores: Stores) -> None:
    await stores.added(STARTED, COMPLETED, created_at=AT)
    await stores.added(STARTED, FAILED, created_at=AT + SECOND)
    await stores.added(STARTED, COMPLETED, workflow="report", created_at=AT + SECOND)
    job = await stores.added(STARTED, created_at=AT + 2 * SECOND)
    await stores.happened(job, COMPLETED)  # as late as its lease ends
    assert await stores.statistics.durations("n8n_notion", 10) == [10 * SECOND, SECOND]
    assert await stores.statistics.durations("n8n_notion", 1) == [10 * SECOND]
    assert await stores.statistics.durations("nobody's", 10) == []


async def test_hours_count_by_status_and_hold_some_durations(stores: Stores) -> None:
    for minutes, events in (
        (-1, [FAILED]),
        (1, [STARTED, COMPLETED]),
        (2, [STARTED, COMPLETED]),
        (59, []),
        (60, [FAILED]),
    ):
        await stores.added(*events, created_at=AT + timedelta(minutes=minutes))
    first, second, third = await stores.statistics.hours(AT, 3, 1)
    assert [first.at, second.at, third.at] == [AT, AT + HOUR, AT + 2 * HOUR]
    none = dict.fromkeys(JobStatus, 0)
    assert first.by_status == none | {JobStatus.SUCCESS: 2, JobStatus.QUEUED: 1}
    assert second.by_status == none | {JobStatus.FAILURE: 1}
    assert third.by_status == none
    assert (first.durations, second.durations) == ([SECOND], [])
    both, *_ = await stores.statistics.hours(AT, 1, 10)
    assert both.durations == [SECOND, SECOND]
