"""A few jobs are counted whenever somebody asks, a million every few seconds, and always once for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import pytest

from app.domain.errors import StoreUnavailable
from app.domain.models import JobStatus
from app.domain.protocols import JobCounts, JobSearch
from app.services.counts import Counts
from tests.services.conftest import Clock

MILLION = 1_000_000


@dataclass
class Jobs:
    """A database of the test's own, which counts how often it is asked."""

    number: int
    asked: int = 0
    away: bool = False
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def counts(self, overdue_before: Mapping[str, datetime]) -> JobCounts:
        self.asked += 1
        await self.answers.wait()
        if self.away:
            raise StoreUnavailable("gone")
        by_workflow = {("n8n_notion", JobStatus.SUCCESS): self.number + self.asked}
        return JobCounts(
            by_workflow=by_workflow, oldest_queued_at=None, oldest_due_at=None, overdue=len(overdue_before)
        )


def counting(jobs: Jobs) -> tuple[Counts, Clock]:
    jobs.answers.set()
    clock = Clock()
    return Counts(cast("JobSearch", jobs), {}, clock), clock


def number(counts: JobCounts) -> int:
    return sum(counts.by_workflow.values())


async def test_all_who_ask_at_the_same_time_get_one_counting_and_who_leaves_takes_it_from_nobody() -> None:
    jobs = Jobs(3)
    counts, _ = counting(jobs)
    jobs.answers.clear()
    asking = [asyncio.create_task(counts.now()) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    jobs.answers.set()
    assert [number(each) for each in await asyncio.gather(*asking[1:])] == [4] * 4
    assert jobs.asked == 1


async def test_a_few_jobs_are_counted_anew_each_time() -> None:
    jobs = Jobs(100)
    counts, _ = counting(jobs)
    for asked in (1, 2, 3):
        assert number(await counts.now()) == 100 + asked


async def test_a_million_are_kept_for_seconds_and_then_nobody_waits_for_the_newer_figures() -> None:
    jobs = Jobs(MILLION)
    counts, clock = counting(jobs)
    await counts.now()
    clock.move(timedelta(seconds=3.9))
    assert (number(await counts.now()), jobs.asked) == (MILLION + 1, 1)
    clock.move(timedelta(seconds=1))
    assert number(await counts.now()) == MILLION + 1
    await asyncio.sleep(0.01)
    assert (number(await counts.now()), jobs.asked) == (MILLION + 2, 2)


async def test_figures_that_nobody_looked_at_for_long_are_not_shown() -> None:
    jobs = Jobs(MILLION)
    counts, clock = counting(jobs)
    await counts.now()
    clock.move(timedelta(minutes=1))
    assert number(await counts.now()) == MILLION + 2


async def test_a_database_that_goes_away_is_told_to_whoever_waits_and_tried_again() -> None:
    jobs = Jobs(MILLION)
    counts, clock = counting(jobs)
    await counts.now()
    jobs.away = True
    clock.move(timedelta(seconds=5))
    assert number(await counts.now()) == MILLION + 1  # the failure behind it is nobody's
    await asyncio.sleep(0.01)
    clock.move(timedelta(minutes=1))
    with pytest.raises(StoreUnavailable):
        await counts.now()
    jobs.away = False
    assert number(await counts.now()) == MILLION + 4


async def test_a_counting_that_is_ended_with_the_process_is_no_error() -> None:
    jobs = Jobs(MILLION)
    counts, clock = counting(jobs)
    await counts.now()
    jobs.answers.clear()
    clock.move(timedelta(seconds=5))
    await counts.now()
    (counting_on,) = asyncio.all_tasks() - {asyncio.current_task()}
    counting_on.cancel()
    await asyncio.wait({counting_on})
    assert counting_on.cancelled()
