"""How many jobs run at a time in one worker."""

from __future__ import annotations

import asyncio

import pytest

from app.services.slots import NoRoom, Slots


class Work:
    """Counts who runs at the same time."""

    def __init__(self, slots: Slots) -> None:
        self.slots, self.now, self.most, self.alone_with = slots, 0, 0, 0
        self.go = asyncio.Event()

    async def job(self, workflow: str = "a", *, alone: bool = False) -> None:
        async with self.slots.hold(workflow, alone=alone):
            self.now += 1
            self.most = max(self.most, self.now)
            if alone:
                self.alone_with = max(self.alone_with, self.now)
            await self.go.wait()
            await asyncio.sleep(0)
            self.now -= 1


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_than_in_flight_of_one_workflow_run_at_a_time() -> None:
    work = Work(Slots({"a": 2}, 100))
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(work.job())
        await settle()
        work.go.set()
    assert work.most == 2


async def test_workflows_have_slots_of_their_own() -> None:
    work = Work(Slots({"a": 1, "b": 1}, 100))
    async with asyncio.TaskGroup() as group:
        group.create_task(work.job("a"))
        group.create_task(work.job("b"))
        await settle()
        assert work.now == 2
        work.go.set()


async def test_a_crowd_of_one_workflow_leaves_room_for_the_others() -> None:
    work = Work(Slots({"a": 1, "b": 3}, 10))
    async with asyncio.TaskGroup() as group:
        for _ in range(7):
            group.create_task(work.job("a"))
        await settle()
        with pytest.raises(NoRoom):
            await work.job("a")
        work.go.set()
        await work.job("b")
    await work.job("a")


async def test_a_slot_that_was_freed_early_is_freed_once() -> None:
    slots, inside = Slots({"a": 1}, 100), 0

    async def one() -> None:
        nonlocal inside
        async with slots.hold("a", alone=False):
            inside += 1
            await asyncio.sleep(0)
            assert inside == 1
            inside -= 1

    async with slots.hold("a", alone=False) as free_slot:
        free_slot()
        free_slot()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(one())


async def test_a_suspected_job_waits_until_an_outcome_is_recorded_although_its_slot_is_free() -> None:
    slots, begun = Slots({"a": 1}, 100), asyncio.Event()

    async def suspect() -> None:
        async with slots.hold("a", alone=True):
            begun.set()

    async with asyncio.TaskGroup() as group, slots.hold("a", alone=False) as free_slot:
        free_slot()
        group.create_task(suspect())
        await settle()
        assert not begun.is_set()
    assert begun.is_set()


async def test_a_suspected_job_runs_alone_and_the_others_wait_for_it() -> None:
    work = Work(Slots({"a": 10}, 100))
    async with asyncio.TaskGroup() as group:
        for alone in (False, False, True, False, True):
            group.create_task(work.job(alone=alone))
        await settle()
        assert work.now == 2
        work.go.set()
    assert work.alone_with == 1
    assert work.now == 0


async def test_a_cancelled_wait_takes_no_slot_and_blocks_nobody() -> None:
    work = Work(Slots({"a": 2}, 100))
    first = asyncio.create_task(work.job())
    waiting = asyncio.create_task(work.job(alone=True))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    work.go.set()
    await asyncio.wait_for(work.job(), 1)
    await first


async def test_until_a_workflow_is_refused_room_nobody_asks_of_which_workflow_a_job_is() -> None:
    slots = Slots({"a": 2, "b": 4}, 10)
    assert slots.look() == ({"a": 6, "b": 8}, frozenset())
    assert slots.unseen(10) == 14


async def test_of_a_crowded_workflow_no_more_come_than_fit_until_half_of_its_slots_are_idle() -> None:
    slots = Slots({"a": 4, "b": 4}, 8)
    work = Work(slots)
    running = [asyncio.create_task(work.job()) for _ in range(4)]
    await settle()
    with pytest.raises(NoRoom):
        await work.job()
    assert slots.look() == ({"a": 0, "b": 4}, frozenset("a"))
    assert slots.unseen(4) == 0
    for task in running[:2]:
        task.cancel()
    await settle()
    assert slots.look() == ({"a": 2, "b": 4}, frozenset("a"))
    assert slots.unseen(2) == 2
    assert slots.unseen(3) == 1, "one is here and has not said what it is"
    running[2].cancel()
    await settle()
    assert slots.look() == ({"a": 3, "b": 4}, frozenset())
    work.go.set()
    await running[3]
