"""What JobFeed promises, over every adapter; and what RedisJobFeed adds between processes and without Redis."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from app.domain.errors import StoreUnavailable
from app.domain.models import JobId
from app.domain.protocols import JobFeed
from app.infrastructure.feed_redis import RedisJobFeed
from app.infrastructure.memory_queue import MemoryJobFeed
from tests.contracts.redis_fixtures import RealValkey, absent_valkey, new_id, valkey

__all__ = ["absent_valkey", "valkey"]

SOON, OFTEN, NEVER = timedelta(seconds=3), timedelta(milliseconds=200), timedelta(hours=1)
NOW = timedelta(0)


class Versions:
    """A store that counts its questions."""

    def __init__(self) -> None:
        self.stored: dict[JobId, int] = {}
        self.asked: list[Collection[JobId]] = []
        self.down = False

    async def __call__(self, job_ids: Collection[JobId]) -> dict[JobId, int]:
        self.asked.append(job_ids)
        if self.down:
            raise StoreUnavailable("the database does not answer")
        return {job_id: self.stored[job_id] for job_id in job_ids if job_id in self.stored}


@pytest.fixture
def versions() -> Versions:
    return Versions()


@pytest.fixture(params=["memory", "valkey", "no redis"])
async def feed(request: pytest.FixtureRequest, versions: Versions) -> AsyncIterator[JobFeed]:
    if request.param == "memory":
        async with MemoryJobFeed(versions, OFTEN) as made:
            yield made
        return
    server = request.getfixturevalue("valkey" if request.param == "valkey" else "absent_valkey")
    async with RedisJobFeed(server.url, "q", versions, OFTEN) as made:
        yield made


async def test_a_hint_wakes_a_watcher_at_once(feed: JobFeed) -> None:
    job_id = new_id()
    async with feed.watch(job_id) as watch:
        began = time.perf_counter()
        asyncio.get_running_loop().call_soon(feed.tell, job_id)
        assert await watch.wait(SOON)
        assert time.perf_counter() - began < 1


async def test_a_hint_given_before_the_wait_is_not_lost(feed: JobFeed) -> None:
    job_id = new_id()
    async with feed.watch(job_id) as watch:
        feed.tell(job_id)
        assert await watch.wait(SOON)


async def test_a_change_is_heard_without_a_hint(feed: JobFeed, versions: Versions) -> None:
    job_id = new_id()
    versions.stored[job_id] = 1
    async with feed.watch(job_id) as watch:
        while await watch.wait(OFTEN * 3):
            pass
        versions.stored[job_id] = 2
        assert await watch.wait(SOON)


async def test_a_change_just_before_the_first_look_is_heard(feed: JobFeed, versions: Versions) -> None:
    job_id = new_id()
    async with feed.watch(job_id) as watch:
        versions.stored[job_id] = 2
        assert await watch.wait(SOON)


async def test_nothing_wakes_a_watcher_when_nothing_happens(feed: JobFeed, versions: Versions) -> None:
    job_id = new_id()
    versions.stored[job_id] = 1
    async with feed.watch(job_id) as watch:
        await watch.wait(OFTEN * 3)
        feed.tell(new_id())
        assert not await watch.wait(OFTEN * 3)


async def test_all_watched_jobs_are_one_question_and_none_watched_is_none(feed: JobFeed, versions: Versions) -> None:
    await asyncio.sleep(0.5)
    assert versions.asked == []
    job_ids = {new_id() for _ in range(20)}
    async with AsyncExitStack() as stack:
        for job_id in job_ids:
            await stack.enter_async_context(feed.watch(job_id))
        await asyncio.sleep(0.5)
        assert 1 <= len(versions.asked) <= 3
        assert set(versions.asked[-1]) == job_ids
    versions.asked.clear()
    await asyncio.sleep(0.5)
    assert versions.asked == []


async def test_a_thousand_watchers_of_one_job_all_hear_and_cost_little(feed: JobFeed, versions: Versions) -> None:
    job_id = new_id()
    async with AsyncExitStack() as stack:
        ears = [await stack.enter_async_context(feed.watch(job_id)) for _ in range(1000)]
        waits = [asyncio.create_task(ear.wait(SOON)) for ear in ears]
        await asyncio.sleep(0)
        gc.disable()  # what a collection of all that this session holds takes is not the feed's
        began = time.thread_time()
        feed.tell(job_id)
        spent = time.thread_time() - began
        gc.enable()
        assert spent < 0.1
        assert all(await asyncio.gather(*waits))
    assert all(len(asked) == 1 for asked in versions.asked)


async def test_watchers_outlive_a_store_that_is_away(feed: JobFeed, versions: Versions) -> None:
    job_id = new_id()
    versions.down = True
    async with feed.watch(job_id) as watch:
        assert not await watch.wait(OFTEN * 3)
        versions.stored[job_id], versions.down = 7, False
        assert await watch.wait(SOON)


async def test_a_hint_may_come_from_any_thread(feed: JobFeed) -> None:
    job_id = new_id()
    async with feed.watch(job_id) as watch:
        await asyncio.to_thread(feed.tell, job_id)
        assert await watch.wait(SOON)


async def test_a_hint_crosses_from_process_to_process(valkey: RealValkey, versions: Versions) -> None:
    job_id = new_id()
    async with (
        RedisJobFeed(valkey.url, "q", versions, NEVER) as here,
        RedisJobFeed(valkey.url, "q", versions, NEVER) as there,
        RedisJobFeed(valkey.url, "other", versions, NEVER) as elsewhere,
        there.watch(job_id) as watch,
        elsewhere.watch(job_id) as stranger,
    ):
        await asyncio.sleep(0.2)
        here.tell(job_id)
        assert await watch.wait(SOON)
        assert not await stranger.wait(timedelta(milliseconds=100))


async def test_hints_cross_again_after_redis_was_killed(valkey: RealValkey, versions: Versions) -> None:
    job_id = new_id()
    async with (
        RedisJobFeed(valkey.url, "q", versions, NEVER) as here,
        RedisJobFeed(valkey.url, "q", versions, NEVER) as there,
        there.watch(job_id) as watch,
    ):
        valkey.kill()
        here.tell(job_id)
        await asyncio.sleep(0.5)
        valkey.start()
        for _ in range(50):
            here.tell(job_id)
            if await watch.wait(OFTEN):
                return
    pytest.fail("no hint came")


async def test_a_hung_redis_delays_nobody(valkey: RealValkey, versions: Versions) -> None:
    job_id = new_id()
    async with RedisJobFeed(valkey.url, "q", versions, OFTEN) as feed, feed.watch(job_id) as watch:
        valkey.pause()
        began = time.perf_counter()
        for _ in range(20_000):
            feed.tell(job_id)
        assert time.perf_counter() - began < 2
        assert await watch.wait(SOON)
        valkey.resume()


@pytest.mark.parametrize("text", [b"", b"x", b"tag " + b"\xff" * 40, b"tag not-an-id", b"tag " + b"0" * 100_000])
async def test_rubbish_on_the_channel_wakes_nobody_and_harms_nobody(
    valkey: RealValkey, versions: Versions, text: bytes
) -> None:
    job_id = new_id()
    async with RedisJobFeed(valkey.url, "q", versions, NEVER) as feed, feed.watch(job_id) as watch:
        await asyncio.sleep(0.2)
        valkey.client.publish("q:feed", text)
        assert not await watch.wait(timedelta(milliseconds=100))
        valkey.client.publish("q:feed", b"tag " + job_id.hex.encode())
        assert await watch.wait(SOON)
