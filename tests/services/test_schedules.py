"""Schedules: handed in once for each time, whoever sweeps and whatever dies."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from app.domain.errors import Invalid, ScheduleNotFound, StoreUnavailable
from app.domain.models import Job
from app.domain.schedules import Schedule
from app.infrastructure.calendar_cron import CronCalendar
from app.infrastructure.memory_schedule_book import MemoryScheduleBook
from app.services.schedules import ScheduleService
from tests.services.conftest import Bench, workflow

HOUR = timedelta(hours=1)


class Desk:
    """A bench, a book, and any number of processes that sweep it."""

    def __init__(self) -> None:
        self.bench = Bench(workflow("research", file=None), workflow("n8n_notion"))
        self.book = MemoryScheduleBook()
        self.schedules = self.another()

    def another(self) -> ScheduleService:
        bench = self.bench
        return ScheduleService(self.book, bench.tasks.submit, bench.workflows, CronCalendar(), bench.clock)

    async def hourly(self) -> Schedule:
        return await self.schedules.add("ada", "0 * * * *", "UTC", "research", {"topic": "owls"})

    def jobs(self) -> list[Job]:
        return list(self.bench.jobs.jobs.values())


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_due_schedule_hands_in_one_job_and_is_due_again_at_its_next_time(desk: Desk) -> None:
    schedule = await desk.hourly()
    assert schedule.due_at == desk.bench.clock() + HOUR
    assert await desk.schedules.sweep() == 0
    desk.bench.clock.move(HOUR)
    assert await desk.schedules.sweep() == 1
    (job,) = desk.jobs()
    assert (job.client, job.workflow, dict(job.params)) == ("ada", "research", {"topic": "owls"})
    (stored,) = await desk.schedules.all()
    assert (stored.job_id, stored.fired_at) == (job.job_id, desk.bench.clock())
    assert stored.due_at == desk.bench.clock() + HOUR
    assert await desk.schedules.sweep() == 0


async def test_of_many_who_sweep_one_hands_in(desk: Desk) -> None:
    await desk.hourly()
    for _ in range(3):
        desk.bench.clock.move(HOUR)
        assert sum(await asyncio.gather(*(desk.another().sweep() for _ in range(6)))) == 1
    assert len(desk.jobs()) == 3


async def test_times_that_were_missed_are_made_up_for_once(desk: Desk) -> None:
    schedule = await desk.hourly()
    desk.bench.clock.move(7.5 * HOUR)
    assert await desk.schedules.sweep() == 1
    assert len(desk.jobs()) == 1
    assert (await desk.book.get(schedule.schedule_id)).due_at == desk.bench.clock() + HOUR / 2


async def test_who_dies_between_the_job_and_the_next_time_neither_loses_nor_doubles_it(desk: Desk) -> None:
    await desk.hourly()
    desk.bench.clock.move(HOUR)
    change = desk.book.change

    async def dies(schedule: Schedule) -> bool:
        raise StoreUnavailable("gone")

    desk.book.change = dies  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await desk.schedules.sweep()
    desk.book.change = change  # type: ignore[method-assign]
    assert await desk.another().sweep() == 1
    assert len(desk.jobs()) == 1


async def test_what_cannot_be_handed_in_is_said_and_tried_at_the_next_time(desk: Desk) -> None:
    schedule = await desk.hourly()
    taken_out = desk.bench.workflows.pop("research")
    desk.bench.clock.move(HOUR)
    assert await desk.schedules.sweep() == 1
    assert (await desk.book.get(schedule.schedule_id)).problem == "there is no such workflow"
    desk.bench.workflows["research"] = taken_out
    desk.bench.clock.move(HOUR)
    await desk.schedules.sweep()
    stored = await desk.book.get(schedule.schedule_id)
    assert (stored.problem, len(desk.jobs())) == (None, 1)


async def test_a_paused_schedule_is_silent_and_a_resumed_one_goes_on_from_now(desk: Desk) -> None:
    schedule = await desk.hourly()
    assert (await desk.schedules.resume(schedule.schedule_id)).due_at == schedule.due_at
    assert (await desk.schedules.pause(schedule.schedule_id)).due_at is None
    desk.bench.clock.move(2.5 * HOUR)
    assert await desk.schedules.sweep() == 0
    assert (await desk.schedules.resume(schedule.schedule_id)).due_at == desk.bench.clock() + HOUR / 2
    assert await desk.schedules.sweep() == 0


async def test_a_change_that_meets_another_is_made_again(desk: Desk) -> None:
    schedule = await desk.hourly()
    change, contended = desk.book.change, [True]

    async def slower(changed: Schedule) -> bool:
        return False if contended and contended.pop() else await change(changed)

    desk.book.change = slower  # type: ignore[method-assign]
    assert (await desk.schedules.pause(schedule.schedule_id)).due_at is None


async def test_a_removed_schedule_hands_in_nothing(desk: Desk) -> None:
    schedule = await desk.hourly()
    await desk.schedules.remove(schedule.schedule_id)
    desk.bench.clock.move(HOUR)
    assert await desk.schedules.sweep() == 0
    with pytest.raises(ScheduleNotFound):
        await desk.schedules.pause(uuid4())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cron": "often"}, "cron"),
        ({"timezone": "Nowhere"}, "timezone"),
        ({"workflow": "magic"}, "workflow"),
        ({"workflow": "n8n_notion"}, "workflow"),
    ],
)
async def test_what_cannot_become_a_schedule_is_refused(desk: Desk, changes: dict[str, str], field: str) -> None:
    wanted = {"cron": "0 * * * *", "timezone": "UTC", "workflow": "research"} | changes
    with pytest.raises(Invalid) as caught:
        await desk.schedules.add("ada", params={}, **wanted)
    assert [one.field for one in caught.value.problems] == [field]
    assert await desk.schedules.all() == []
