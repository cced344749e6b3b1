"""How much longer: an honest range from ten runs on, nothing below, asked for once for all who look."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from app.domain.errors import StoreUnavailable
from app.domain.models import Job, JobStatus, Trouble
from app.domain.protocols import HourOfJobs
from app.services.estimates import FRESH_FOR, Estimates, estimate
from tests.jobs import AT, draft
from tests.services.conftest import Clock


def minutes(*figures: float) -> list[timedelta]:
    return [timedelta(minutes=figure) for figure in figures]


@dataclass
class Runs:
    """A history of the test's own, which counts how often it is asked."""

    durations_known: list[timedelta] = field(default_factory=lambda: minutes(*range(1, 11)))
    asked: int = 0
    away: bool = False

    async def durations(self, workflow: str, limit: int) -> list[timedelta]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("gone")
        return self.durations_known[:limit]

    async def hours(self, since: datetime, count: int, sample: int) -> list[HourOfJobs]:
        raise NotImplementedError


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.at = AT
    return clock


def test_below_ten_runs_nothing_is_told():
    assert estimate(minutes(*range(1, 10)), timedelta(0)) is None
    assert estimate(minutes(*range(1, 11)), timedelta(0)) is not None


def test_runs_that_were_over_by_now_tell_nothing():
    assert estimate(minutes(*range(1, 20)), timedelta(minutes=10)) is None
    left = estimate(minutes(*range(1, 41)), timedelta(minutes=20))
    assert (left.runs, left.low, left.high) == (20, timedelta(minutes=3), timedelta(minutes=18))


def test_the_range_leaves_out_the_odd_ones():
    left = estimate(minutes(0.1, *[3.0] * 18, 400), timedelta(0))
    assert (left.runs, left.low, left.high) == (20, timedelta(minutes=3), timedelta(minutes=3))


async def test_a_hundred_that_look_at_once_cost_one_question(clock):
    runs = Runs()
    estimates = Estimates(runs, clock)
    found = await asyncio.gather(*(estimates.of(draft(), overdue=False) for _ in range(100)))
    assert runs.asked == 1
    assert {each.runs for each in found} == {10}


async def test_the_history_is_asked_for_again_after_a_while(clock):
    runs = Runs()
    estimates = Estimates(runs, clock)
    await estimates.of(draft(), overdue=False)
    clock.move(FRESH_FOR)
    await estimates.of(draft(), overdue=False)
    assert runs.asked == 1
    clock.move(timedelta(seconds=1))
    await estimates.of(draft(), overdue=False)
    assert runs.asked == 2


@pytest.mark.parametrize(
    ("job", "overdue"),
    [
        (draft(status=JobStatus.SUCCESS), False),
        (draft(), True),
        (draft(trouble=Trouble(kind="refused", since=AT, count=1)), False),
        (draft(lost_leases=1), False),
    ],
    ids=["ended", "overdue", "trouble", "lost"],
)
async def test_a_job_that_does_not_go_the_usual_way_has_none(clock, job: Job, overdue: bool):
    assert await Estimates(Runs(), clock).of(job, overdue=overdue) is None


async def test_a_history_that_cannot_be_read_is_no_error_and_asked_for_again(clock):
    runs = Runs(away=True)
    estimates = Estimates(runs, clock)
    assert await estimates.of(draft(), overdue=False) is None
    runs.away = False
    assert (await estimates.of(replace(draft(), created_at=AT), overdue=False)).runs == 10
