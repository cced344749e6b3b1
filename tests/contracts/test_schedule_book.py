"""What every ScheduleBook promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import ScheduleNotFound
from app.domain.models import new_job_id
from app.domain.schedules import Schedule, ScheduleBook
from app.infrastructure.memory_schedule_book import MemoryScheduleBook
from app.infrastructure.schedule_book_sql import SqlScheduleBook
from app.infrastructure.sql_database import SqlDatabase
from tests.contracts.sql_fixtures import new_database
from tests.jobs import AT

SECOND = timedelta(seconds=1)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def book(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ScheduleBook]:
    if request.param == "memory":
        yield MemoryScheduleBook()
        return
    with new_database(request.param, request, tmp_path) as url:
        database = SqlDatabase(url)
        yield SqlScheduleBook(database)
        await database.close()


async def added(book: ScheduleBook, **changes: Any) -> Schedule:
    schedule = Schedule(
        schedule_id=new_job_id(AT),
        client="ada",
        cron="0 7 * * *",
        timezone="Europe/Berlin",
        workflow="research",
        params={"topic": "Eulen", "limit": 3},
        created_at=AT,
        due_at=AT,
    )
    schedule = replace(schedule, **changes)
    await book.add(schedule)
    return schedule


async def test_a_schedule_comes_back_as_it_was_stored(book: ScheduleBook) -> None:
    schedule = await added(book, fired_at=AT, job_id=new_job_id(AT), problem="no")
    assert await book.get(schedule.schedule_id) == schedule


async def test_all_are_given_the_oldest_first(book: ScheduleBook) -> None:
    young, old = await added(book), await added(book, created_at=AT - SECOND, due_at=None)
    assert await book.all() == [old, young]


async def test_due_gives_the_longest_due_first_at_most_limit_and_none_that_is_paused(book: ScheduleBook) -> None:
    later = await added(book, due_at=AT)
    await added(book, due_at=None)
    await added(book, due_at=AT + SECOND)
    first, second = await added(book, due_at=AT - 2 * SECOND), await added(book, due_at=AT - SECOND)
    assert await book.due(AT, 2) == [first, second]
    assert await book.due(AT, 9) == [first, second, later]


async def test_of_several_who_change_a_version_one_is_told_that_it_was_them(book: ScheduleBook) -> None:
    schedule = await added(book)
    changed = replace(schedule, version=2, due_at=AT + SECOND, fired_at=AT, job_id=new_job_id(AT), problem="x")
    told = await asyncio.gather(*(book.change(changed) for _ in range(5)))
    assert sorted(told) == [False] * 4 + [True]
    assert await book.get(schedule.schedule_id) == changed


async def test_a_removed_schedule_is_gone_and_cannot_be_changed_back(book: ScheduleBook) -> None:
    schedule = await added(book)
    await book.remove(schedule.schedule_id)
    assert not await book.change(replace(schedule, version=2))
    for asked in (book.get, book.remove):
        with pytest.raises(ScheduleNotFound):
            await asked(schedule.schedule_id)
    assert await book.all() == []
