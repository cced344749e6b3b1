"""What every NoticeBox promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from app.domain.models import Notice, new_job_id
from tests.contracts.sql_fixtures import Stores
from tests.jobs import AT, CANCELLED, FAILED

SECOND = timedelta(seconds=1)
LATER = AT + timedelta(days=1)


async def notice(stores: Stores) -> Notice:
    """The notice of a job that ended just now."""
    job = await stores.added(CANCELLED)
    (found,) = [one for one in await stores.notices.due(LATER, 100) if one.job_id == job.job_id]
    return found


async def test_due_gives_the_longest_due_first_and_at_most_limit(stores: Stores) -> None:
    jobs = [await stores.added(FAILED, created_at=AT - number * SECOND) for number in range(4)]
    assert [one.job_id for one in await stores.notices.due(AT, 3)] == [job.job_id for job in jobs[:0:-1]]


async def test_due_leaves_out_what_is_due_later(stores: Stores) -> None:
    found = await notice(stores)
    assert await stores.notices.due(found.due_at - timedelta(microseconds=1), 10) == []
    assert await stores.notices.due(found.due_at, 10) == [found]


async def test_take_moves_the_notice_and_counts_a_try(stores: Stores) -> None:
    found = await notice(stores)
    until = found.due_at + 5 * SECOND
    assert await stores.notices.take(found, until)
    assert await stores.notices.due(until - SECOND, 10) == []
    assert await stores.notices.due(until, 10) == [replace(found, due_at=until, tries=1)]


async def test_a_notice_is_taken_by_one_of_eight(stores: Stores) -> None:
    found = await notice(stores)
    taken = await asyncio.gather(*(stores.notices.take(found, LATER) for _ in range(8)))
    assert sorted(taken) == [False] * 7 + [True]


async def test_a_notice_that_is_not_done_is_due_again(stores: Stores) -> None:
    found = await notice(stores)
    assert await stores.notices.take(found, found.due_at + SECOND)
    (again,) = await stores.notices.due(LATER, 10)
    assert await stores.notices.take(again, found.due_at + 9 * SECOND)
    assert [one.tries for one in await stores.notices.due(LATER, 10)] == [2]


async def test_what_was_taken_is_put_off_without_another_try_and_only_by_whoever_took_it_last(stores: Stores) -> None:
    found = await notice(stores)
    await stores.notices.put_off(found, found.due_at + 99 * SECOND)  # nobody took it
    assert await stores.notices.due(found.due_at, 10) == [found]
    await stores.notices.take(found, found.due_at + SECOND)
    await stores.notices.put_off(found, found.due_at + 9 * SECOND)
    (later,) = await stores.notices.due(LATER, 10)
    assert later == replace(found, due_at=found.due_at + 9 * SECOND, tries=1)
    await stores.notices.take(later, found.due_at + 10 * SECOND)
    await stores.notices.put_off(found, LATER)
    assert (await stores.notices.due(LATER - SECOND, 10))[0].due_at == found.due_at + 10 * SECOND
    await stores.notices.done(found)
    await stores.notices.put_off(replace(found, tries=1), LATER)
    assert await stores.notices.due(LATER, 10) == []


async def test_done_removes_the_notice_whatever_its_tries_are_by_now(stores: Stores) -> None:
    found, other = await notice(stores), await notice(stores)
    await stores.notices.take(found, LATER)
    await stores.notices.done(found)
    assert await stores.notices.due(LATER, 10) == [other]


async def test_removing_a_notice_twice_is_no_error_and_it_cannot_be_taken_any_more(stores: Stores) -> None:
    found = await notice(stores)
    await stores.notices.done(found)
    await stores.notices.done(found)
    assert not await stores.notices.take(found, LATER)


async def test_a_notice_of_an_unknown_job_cannot_be_taken(stores: Stores) -> None:
    unknown = Notice(job_id=new_job_id(AT), version=3, due_at=AT, tries=0)
    assert not await stores.notices.take(unknown, LATER)
