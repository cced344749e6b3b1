"""What every AnswerCache promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.answers import AnswerCache, KeptAnswer
from app.infrastructure.answer_cache_sql import SqlAnswerCache
from app.infrastructure.memory_answer_cache import MemoryAnswerCache
from app.infrastructure.sql_database import SqlDatabase
from tests.contracts.sql_fixtures import new_database
from tests.jobs import AT

DAY = timedelta(days=1)
ANSWER = KeptAnswer(body='{"ä": 1}', etag='W/"1"', next="https://api.test/?page=2", at=AT)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnswerCache]:
    """A cache of 100 characters and 30 days, on each technology."""
    if request.param == "memory":
        yield MemoryAnswerCache(most=100, keep_for=30 * DAY)
        return
    with new_database(request.param, request, tmp_path) as url:
        database = SqlDatabase(url)
        yield SqlAnswerCache(database, most=100, keep_for=30 * DAY)
        await database.close()


async def test_what_was_put_comes_back_as_it_was(cache: AnswerCache) -> None:
    bare = KeptAnswer(body="[]", etag=None, next=None, at=AT)
    await cache.put("a", ANSWER)
    await cache.put("b", bare)
    assert [await cache.get(key) for key in ("a", "b", "c")] == [ANSWER, bare, None]


async def test_a_newer_answer_takes_the_place_of_the_older_one(cache: AnswerCache) -> None:
    newer = replace(ANSWER, body="newer", etag=None, at=AT + DAY)
    await cache.put("a", ANSWER)
    await cache.put("a", newer)
    assert await cache.get("a") == newer


async def test_what_has_not_been_known_to_hold_for_longest_makes_room(cache: AnswerCache) -> None:
    large = replace(ANSWER, body="x" * 40)
    await cache.put("second", replace(large, at=AT + DAY))
    await cache.put("first", large)
    await cache.put("third", replace(large, at=AT + 2 * DAY))
    assert await cache.get("first") is None
    assert await cache.get("second") is not None
    await cache.put("fourth", replace(large, at=AT + 3 * DAY))
    assert [await cache.get(key) is None for key in ("second", "third", "fourth")] == [True, False, False]


async def test_what_alone_is_too_large_is_not_kept_and_displaces_nothing(cache: AnswerCache) -> None:
    await cache.put("a", ANSWER)
    await cache.put("b", replace(ANSWER, body="x" * 101))
    assert (await cache.get("a"), await cache.get("b")) == (ANSWER, None)


async def test_what_is_too_old_goes_when_something_newer_comes(cache: AnswerCache) -> None:
    await cache.put("a", ANSWER)
    await cache.put("b", replace(ANSWER, at=AT + 31 * DAY))
    assert await cache.get("a") is None


async def test_many_may_put_at_once(cache: AnswerCache) -> None:
    await asyncio.gather(*(cache.put(f"{number % 5}", ANSWER) for number in range(40)))
    assert [await cache.get(f"{number}") for number in range(5)] == [ANSWER] * 5
