"""What every StepStore promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.errors import StaleAttempt
from app.domain.models import Job, JobId, new_job_id
from app.domain.protocols import StepOutput
from app.domain.tools import Usage
from app.services.retention import Retention
from tests.contracts.sql_fixtures import Stores
from tests.jobs import AT, CANCELLED, COMPLETED, ERASED, STARTED

GATHERED = StepOutput(
    step=1,
    name="gather",
    output={"articles": [1, None, "zwölf \u0000"]},
    seconds=1.25,
    usage=Usage(tokens_in=3_000_000_000, tokens_out=7, cost=0.5),
)
WRITTEN = StepOutput(step=2, name="write", output=None)


async def running(stores: Stores) -> Job:
    return await stores.added(STARTED)


async def test_what_was_kept_comes_back_in_the_order_of_the_steps(stores: Stores) -> None:
    job = await running(stores)
    await stores.steps.keep(job.job_id, 1, WRITTEN)
    await stores.steps.keep(job.job_id, 1, GATHERED)
    assert await stores.steps.kept(job.job_id) == [GATHERED, WRITTEN]


async def test_a_job_without_finished_steps_has_none(stores: Stores) -> None:
    other = await running(stores)
    await stores.steps.keep(other.job_id, 1, GATHERED)
    assert await stores.steps.kept((await running(stores)).job_id) == []
    assert await stores.steps.kept(new_job_id(AT)) == []


async def test_what_a_step_made_first_stays(stores: Stores) -> None:
    job = await running(stores)
    await stores.steps.keep(job.job_id, 1, GATHERED)
    await stores.steps.keep(job.job_id, 1, replace(GATHERED, output="later"))
    assert await stores.steps.kept(job.job_id) == [GATHERED]


async def test_only_the_jobs_own_attempt_keeps_something(stores: Stores) -> None:
    job = await running(stores)
    for attempt in (0, 2):
        with pytest.raises(StaleAttempt):
            await stores.steps.keep(job.job_id, attempt, GATHERED)
    with pytest.raises(StaleAttempt):
        await stores.steps.keep(new_job_id(AT), 1, GATHERED)
    assert await stores.steps.kept(job.job_id) == []


@pytest.mark.parametrize("end", [CANCELLED, COMPLETED], ids=["cancelled", "completed"])
async def test_nothing_is_added_to_a_job_that_ended_and_what_was_done_stays(stores: Stores, end: object) -> None:
    job = await running(stores)
    await stores.steps.keep(job.job_id, 1, GATHERED)
    await stores.happened(job, end)  # type: ignore[arg-type]
    with pytest.raises(StaleAttempt):
        await stores.steps.keep(job.job_id, 1, WRITTEN)
    assert await stores.steps.kept(job.job_id) == [GATHERED]


async def test_erasing_a_job_erases_what_its_steps_made(stores: Stores) -> None:
    job, other = await running(stores), await running(stores)
    for one in (job, other):
        await stores.steps.keep(one.job_id, 1, GATHERED)
    ended = await stores.happened(job, CANCELLED)
    (erased, line) = stores.next(ended, ERASED)
    await stores.log.erase(erased, line)
    assert await stores.steps.kept(job.job_id) == []
    assert await stores.steps.kept(other.job_id) == [GATHERED]


async def test_retention_removes_what_the_steps_of_old_jobs_made(stores: Stores) -> None:
    old, new = await running(stores), await running(stores)
    for one in (old, new):
        await stores.steps.keep(one.job_id, 1, GATHERED)
    ended = await stores.happened(old, COMPLETED)
    assert ended.completed_at is not None

    async def erase(job_id: JobId) -> Job:
        await stores.log.erase(*stores.next(await stores.log.get(job_id), ERASED))
        return await stores.log.get(job_id)

    now = ended.completed_at + timedelta(days=8)
    retention = Retention(stores.agenda, erase, lambda: now, timedelta(days=7), {})
    assert (await retention.sweep(), await retention.sweep()) == (1, 0)
    assert await stores.steps.kept(old.job_id) == []
    assert await stores.steps.kept(new.job_id) == [GATHERED]


async def test_many_jobs_keep_at_the_same_time(stores: Stores) -> None:
    jobs = [await running(stores) for _ in range(6)]
    wrong = new_job_id(AT)
    keeping = [stores.steps.keep(job.job_id, 1, GATHERED) for job in jobs]
    *kept, refused = await asyncio.gather(*keeping, stores.steps.keep(wrong, 1, GATHERED), return_exceptions=True)
    assert kept == [None] * 6
    assert isinstance(refused, StaleAttempt)
    assert [await stores.steps.kept(job.job_id) for job in jobs] == [[GATHERED]] * 6
