"""Redis may be absent, killed, flushed, hung, full or read-only: jobs in flight go on, and the sweep finds the others."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress

import pytest
from rq import Queue

from app.infrastructure.queue_rq import RqJobQueue
from app.infrastructure.worker_rq import AsyncWorker, HeadOfQueue
from tests.contracts.redis_fixtures import RealValkey, absent_valkey, eventually, new_id, rung, valkey
from tests.infrastructure.worker_harness import NOTHING, Work, books, queue, roomy, serving, until, work, workers

__all__ = ["absent_valkey", "queue", "valkey", "work"]


async def test_without_redis_the_sweep_alone_does_the_work(absent_valkey: RealValkey, work: Work) -> None:
    work.due = [new_id() for _ in range(500)]
    async with serving(absent_valkey.url, work):
        await until(lambda: len(work.ran) == 500)
        assert work.offers[-1][1] == HeadOfQueue(reachable=False)
        absent_valkey.start()
        await until(lambda: len(workers(absent_valkey)) == 1)
        assert workers(absent_valkey)[0].successful_job_count == 500


async def test_redis_killed_and_restarted_costs_no_job(valkey: RealValkey, queue: RqJobQueue, work: Work) -> None:
    work.open.clear()
    async with serving(valkey.url, work):
        flying = [new_id() for _ in range(5)]
        await rung(queue, *flying)
        await until(lambda: work.now == 5)
        valkey.kill()
        work.due = [new_id() for _ in range(5)]
        await until(lambda: work.now == 10)
        valkey.start()
        await until(lambda: books(valkey)["started"] == 10 and len(workers(valkey)) == 1)
        work.open.set()
        await until(lambda: books(valkey) == NOTHING | {"finished": 10})
        await rung(queue, new_id())
        await until(lambda: len(work.ran) == 11)
    assert set(work.ran.values()) == {1}


async def test_jobs_that_ended_while_redis_was_away_are_booked_later(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    work.open.clear()
    async with serving(valkey.url, work):
        await rung(queue, new_id())
        await until(lambda: books(valkey)["started"] == 1)
        valkey.kill()
        work.open.set()
        await until(lambda: work.now == 0)
        await asyncio.sleep(0.3)
        valkey.start()
        await until(lambda: books(valkey) == NOTHING | {"finished": 1})


async def test_after_flushall_the_worker_registers_itself_again(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    work.open.clear()
    async with serving(valkey.url, work) as worker:
        await rung(queue, new_id(), new_id())
        await until(lambda: books(valkey)["started"] == 2)
        valkey.client.flushall()
        await until(lambda: [one.name for one in workers(valkey)] == [worker.name], within=8)
        await until(lambda: books(valkey)["started"] == 2)
        assert len(workers(valkey)[0].get_current_executions()) == 2
        assert Queue.all(connection=valkey.client)[0].name == "q"
        work.open.set()
        await until(lambda: books(valkey) == NOTHING | {"finished": 2})
        assert workers(valkey)[0].successful_job_count == 2
    assert set(work.ran.values()) == {1}


async def test_a_hung_redis_delays_neither_sweep_nor_stop(valkey: RealValkey, work: Work) -> None:
    async with serving(valkey.url, work):
        await until(lambda: len(workers(valkey)) == 1)
        valkey.pause()
        began, offers = time.monotonic(), len(work.offers)
        work.due = [new_id() for _ in range(30)]
        await until(lambda: len(work.ran) == 30, within=1)
        await until(lambda: work.offers[-1][1] == HeadOfQueue(reachable=False), within=3)
        assert len(work.offers) - offers > (time.monotonic() - began) / 0.1 / 2
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 8
    valkey.resume()


async def test_a_hung_redis_that_wakes_up_is_used_again(valkey: RealValkey, queue: RqJobQueue, work: Work) -> None:
    async with serving(valkey.url, work):
        await rung(queue, new_id())
        valkey.pause()
        await asyncio.sleep(3)
        valkey.resume()
        job_id = new_id()
        queue.ring(job_id)
        await until(lambda: work.ran[job_id] == 1)
        await until(lambda: books(valkey) == NOTHING | {"finished": 2})


@pytest.mark.parametrize("trouble", ["full", "read-only"])
async def test_a_redis_that_takes_no_writes_is_no_obstacle(
    valkey: RealValkey, queue: RqJobQueue, work: Work, trouble: str
) -> None:
    change, heal = (
        (("CONFIG", "SET", "maxmemory", "1mb"), ("CONFIG", "SET", "maxmemory", "0"))
        if trouble == "full"
        else (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))
    )
    async with serving(valkey.url, work):
        await rung(queue, new_id())
        await until(lambda: books(valkey) == NOTHING | {"finished": 1})
        valkey.client.execute_command(*change)
        work.due = [new_id() for _ in range(40)]
        await until(lambda: len(work.ran) == 41)
        await until(lambda: work.offers[-1][1] == HeadOfQueue(reachable=False))
        valkey.client.execute_command(*heal)
        job_id = new_id()
        queue.ring(job_id)
        await until(lambda: work.ran[job_id] == 1)
        await until(lambda: books(valkey)["started"] == 0)


@pytest.mark.parametrize("command", ["shutdown", "kill-horse", "stop-job"])
async def test_commands_over_redis_stop_nothing(
    valkey: RealValkey, queue: RqJobQueue, work: Work, command: str
) -> None:
    work.open.clear()
    job_id = new_id()
    async with serving(valkey.url, work) as worker:
        await rung(queue, job_id)
        await until(lambda: work.now == 1)
        text = f'{{"command": "{command}", "job_id": "{job_id}"}}'
        assert valkey.client.publish(f"rq:pubsub:{worker.name}", text) == 0, "nobody listens"
        valkey.client.set("rq:suspended", 1)
        work.open.set()
        await rung(queue, new_id())
        await until(lambda: books(valkey)["finished"] == 2)


async def test_two_workers_share_a_queue_and_run_nothing_twice(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    job_ids = [new_id() for _ in range(400)]
    async with serving(valkey.url, work), serving(valkey.url, work):
        await rung(queue, *job_ids)
        await until(lambda: books(valkey) == NOTHING | {"finished": 400})
        assert sum(one.successful_job_count for one in workers(valkey)) == 400
    assert work.ran == Counter(dict.fromkeys(job_ids, 1))


async def test_a_worker_given_up_by_its_caller_drains_all_the_same(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    worker = AsyncWorker(valkey.url, "q", run=work.run, take=work.take, room=roomy)
    task = asyncio.create_task(worker.serve(asyncio.Event()))
    await rung(queue, new_id())
    await until(lambda: books(valkey)["finished"] == 1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(eventually, lambda: workers(valkey) == [])
