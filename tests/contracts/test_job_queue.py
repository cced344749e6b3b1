"""What JobQueue promises, over every adapter; and what RqJobQueue adds for a Redis that is slow, gone or hostile."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from app.domain.errors import Unavailable
from app.domain.models import JobId
from app.domain.protocols import JobQueue
from app.infrastructure import doorbell_rq as doorbell
from app.infrastructure.memory_queue import MemoryJobQueue
from app.infrastructure.queue_rq import RqJobQueue
from tests.contracts.redis_fixtures import (
    RealValkey,
    absent_valkey,
    eventually,
    fake_redis_url,
    new_id,
    rung,
    valkey,
)

__all__ = ["absent_valkey", "fake_redis_url", "valkey"]


@pytest.fixture(params=["memory", "fakeredis", "valkey"])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[JobQueue]:
    if request.param == "memory":
        yield MemoryJobQueue()
        return
    server = request.getfixturevalue("fake_redis_url" if request.param == "fakeredis" else "valkey")
    made = RqJobQueue(server if isinstance(server, str) else server.url, "q")
    yield made
    await made.close()


async def test_the_head_is_the_id_that_is_taken_next(queue: JobQueue) -> None:
    first, second = new_id(), new_id()
    await rung(queue, first, second)
    assert await queue.head() == first


async def test_the_head_is_none_when_nothing_is_queued(queue: JobQueue) -> None:
    assert await queue.head() is None


async def test_the_report_counts_without_side_effects_on_the_queue(queue: JobQueue) -> None:
    await rung(queue, new_id(), new_id(), new_id())
    reports = [await queue.report() for _ in range(3)]
    assert [report.registries["queued"] for report in reports] == [3, 3, 3]
    assert [list(report.workers) for report in reports] == [[], [], []]


async def test_ringing_returns_at_once(queue: JobQueue) -> None:
    began = time.perf_counter()
    for _ in range(1000):
        queue.ring(new_id())
    assert time.perf_counter() - began < 1


async def test_it_may_be_called_from_any_event_loop(queue: JobQueue) -> None:
    job_id = new_id()
    await rung(queue, job_id)
    assert await asyncio.to_thread(lambda: asyncio.run(queue.head())) == job_id


@pytest.fixture
async def rq_queue(valkey: RealValkey) -> AsyncIterator[RqJobQueue]:
    made = RqJobQueue(valkey.url, "q", buffer=100)
    yield made
    await made.close()


async def test_a_doorbell_carries_an_id_and_nothing_else(valkey: RealValkey, rq_queue: RqJobQueue) -> None:
    job_id = new_id()
    await rung(rq_queue, job_id)
    (job,) = Queue("q", connection=valkey.client, serializer=JSONSerializer).jobs
    assert (job.id, list(job.args), job.kwargs, job.instance) == (str(job_id), [str(job_id)], {}, None)
    assert (job.func_name, job.timeout, job.result_ttl, job.failure_ttl) == ("app.worker.run_job", -1, 60, 60)
    assert str(job_id) not in (job.description or "")


async def test_a_doorbell_is_stored_as_rq_itself_would_store_it(valkey: RealValkey, rq_queue: RqJobQueue) -> None:
    ours, theirs = new_id(), new_id()
    await rung(rq_queue, ours)
    known_queues = valkey.client.smembers("rq:queues")
    told: dict[str, Any] = {"timeout": -1, "result_ttl": 60, "failure_ttl": 60, "description": doorbell.DESCRIPTION}
    message = Queue.prepare_data(doorbell.FUNC, args=(str(theirs),), job_id=str(theirs), **told)
    Queue("q", connection=valkey.client, serializer=JSONSerializer).enqueue_many([message])

    def stored(job_id: JobId) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = valkey.client.hgetall(f"rq:job:{job_id}")
        plain = zlib.decompress(found[b"data"]).replace(str(job_id).encode(), b"ID")
        return found | {b"data": plain, b"created_at": b"", b"enqueued_at": b""}

    assert stored(ours) == stored(theirs)
    assert valkey.client.ttl(f"rq:job:{ours}") == valkey.client.ttl(f"rq:job:{theirs}")
    assert valkey.client.lrange("rq:queue:q", 0, -1) == [str(ours).encode(), str(theirs).encode()]
    assert known_queues == valkey.client.smembers("rq:queues")


async def test_a_thousand_doorbells_all_arrive_in_order(valkey: RealValkey) -> None:
    made = RqJobQueue(valkey.url, "q")
    job_ids = [new_id() for _ in range(1000)]
    for job_id in job_ids:
        made.ring(job_id)
    assert await asyncio.to_thread(eventually, lambda: valkey.client.llen("rq:queue:q") == 1000)
    await made.close()
    assert [text.decode() for text in valkey.client.lrange("rq:queue:q", 0, -1)] == [str(one) for one in job_ids]


async def test_an_id_rung_twice_at_once_is_no_error(valkey: RealValkey, rq_queue: RqJobQueue) -> None:
    job_id = new_id()
    await rung(rq_queue, *[job_id] * 5, new_id())
    assert {text.decode() for text in valkey.client.lrange("rq:queue:q", 0, -1)} >= {str(job_id)}


async def test_closing_sends_what_was_rung(valkey: RealValkey) -> None:
    made = RqJobQueue(valkey.url, "q")
    for _ in range(200):
        made.ring(new_id())
    await made.close()
    assert valkey.client.llen("rq:queue:q") == 200


async def test_a_dead_redis_delays_no_caller_and_says_unavailable(absent_valkey: RealValkey) -> None:
    made = RqJobQueue(absent_valkey.url, "q")
    began = time.perf_counter()
    for _ in range(100):
        made.ring(new_id())
    assert time.perf_counter() - began < 0.5
    with pytest.raises(Unavailable):
        await made.head()
    with pytest.raises(Unavailable):
        await made.report()
    await made.close()
    assert time.perf_counter() - began < 3


async def test_a_hung_redis_is_unavailable_within_half_a_second(valkey: RealValkey, rq_queue: RqJobQueue) -> None:
    assert await rq_queue.head() is None
    valkey.pause()
    for ask in (rq_queue.head, rq_queue.report):
        began = time.perf_counter()
        with pytest.raises(Unavailable):
            await ask()
        assert time.perf_counter() - began < 1.5
    began = time.perf_counter()
    for _ in range(1000):
        rq_queue.ring(new_id())
    assert time.perf_counter() - began < 0.5
    valkey.resume()
    assert await asyncio.to_thread(eventually, lambda: valkey.client.llen("rq:queue:q") > 0)
    assert valkey.client.llen("rq:queue:q") <= 200 + 500, "the buffer is bounded"


async def test_a_restarted_redis_hears_doorbells_again(valkey: RealValkey, rq_queue: RqJobQueue) -> None:
    await rung(rq_queue, new_id())
    valkey.kill()
    await rung(rq_queue, new_id())
    valkey.start()
    assert await asyncio.to_thread(eventually, lambda: valkey.client.llen("rq:queue:q") == 2)


async def test_a_full_redis_raises_nothing_in_the_caller(valkey: RealValkey, rq_queue: RqJobQueue) -> None:
    valkey.client.config_set("maxmemory", "1mb")
    await rung(rq_queue, new_id())
    assert await rq_queue.head() is None
    valkey.client.config_set("maxmemory", "0")
    assert await asyncio.to_thread(eventually, lambda: valkey.client.llen("rq:queue:q") == 1)


async def test_what_is_no_id_at_the_head_is_passed_over(valkey: RealValkey, rq_queue: RqJobQueue) -> None:
    job_id = new_id()
    for text in (b"os.system", b"\xff\x00", b"{" + str(job_id).encode() + b"}", str(job_id).encode()):
        valkey.client.rpush("rq:queue:q", text)
    assert await rq_queue.head() == job_id


async def test_a_queue_of_a_wrong_type_is_unavailable(valkey: RealValkey, rq_queue: RqJobQueue) -> None:
    valkey.client.set("rq:queue:q", "x")
    with pytest.raises(Unavailable):
        await rq_queue.head()
    assert Job.exists(str(new_id()), valkey.client) is False
