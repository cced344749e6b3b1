"""AsyncWorker on a real Valkey: RQ's books stay exact, in work, in draining and after a kill, and the sweep is fair.

The exactness tests guard an upgrade of rq: the worker was written against rq 3.0.0.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

import rq

from app.domain.models import JobId, created_at
from app.infrastructure import worker_rq_books, worker_rq_clerk
from app.infrastructure.queue_rq import RqJobQueue
from app.infrastructure.worker_rq import HeadOfQueue
from app.services.slots import NoRoom, Slots
from tests.contracts.redis_fixtures import RealValkey, absent_valkey, new_id, rung, valkey
from tests.infrastructure.worker_harness import NOTHING, Work, books, fetch, queue, serving, until, work, workers

__all__ = ["absent_valkey", "queue", "valkey", "work"]


# The books


def test_it_was_written_against_this_rq() -> None:
    assert rq.VERSION.split(".")[0] == "3", "read rq's changes, then run this file"


async def test_the_books_are_exact_after_good_and_bad_runs(valkey: RealValkey, queue: RqJobQueue, work: Work) -> None:
    good, bad = [new_id() for _ in range(200)], [new_id() for _ in range(20)]
    work.bad = set(bad)
    async with serving(valkey.url, work):
        await rung(queue, *good, *bad)
        await until(lambda: books(valkey) == NOTHING | {"finished": 200, "failed": 20})
        (worker,) = workers(valkey)
        await until(lambda: workers(valkey)[0].get_state() == "idle")
        assert (worker.successful_job_count, worker.failed_job_count) == (200, 20)
        assert worker.queue_names() == ["q"]
    assert work.ran == Counter(dict.fromkeys([*good, *bad], 1))
    assert work.most <= 20
    assert workers(valkey) == []
    assert {fetch(valkey, one).get_status().value for one in good} == {"finished"}
    one, other = fetch(valkey, good[7]), fetch(valkey, bad[7])
    assert (one.latest_result().type.name, one.return_value()) == ("SUCCESSFUL", None)
    assert one.started_at <= one.ended_at
    assert other.get_status().value == "failed"
    assert other.latest_result().exc_string == "ValueError", "the class only: the message may hold a secret"
    assert all(0 < valkey.client.ttl(key) <= 60 for job in (one, other) for key in (job.key, f"rq:results:{job.id}"))


async def test_while_jobs_run_the_books_say_so(valkey: RealValkey, queue: RqJobQueue, work: Work) -> None:
    work.open.clear()
    job_ids = [new_id() for _ in range(30)]
    async with serving(valkey.url, work) as worker:
        await rung(queue, *job_ids)
        await until(lambda: books(valkey) == NOTHING | {"queued": 10, "started": 20, "executions": 40, "indexed": 20})
        (shown,) = workers(valkey)
        assert shown.get_state() == "busy"
        assert shown.name == worker.name
        assert {one.job_id for one in shown.get_current_executions()} == {str(one) for one in job_ids[:20]}
        assert list((await queue.report()).workers) == [worker.name]
        assert fetch(valkey, job_ids[0]).get_status().value == "started"
        assert 0 < valkey.client.ttl(shown.key) <= 30
        work.open.set()
        await until(lambda: books(valkey)["finished"] == 30)


async def test_a_new_doorbell_is_answered_within_milliseconds(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    async with serving(valkey.url, work):
        await rung(queue, new_id())
        waits = []
        for _ in range(15):
            job_id, began = new_id(), time.perf_counter()
            queue.ring(job_id)
            while not work.ran[job_id]:  # noqa: ASYNC110  # milliseconds are measured
                await asyncio.sleep(0)
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.03)
    assert sorted(waits)[7] < 0.1, "4 ms on a quiet machine"


async def test_stopping_finishes_what_runs_and_leaves_the_rest_queued(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    work.open.clear()
    async with serving(valkey.url, work):
        await rung(queue, *[new_id() for _ in range(60)])
        await until(lambda: work.now == 20)
        asyncio.get_running_loop().call_later(0.3, work.open.set)
    assert books(valkey) == NOTHING | {"queued": 40, "finished": 20}
    assert workers(valkey) == []


async def test_a_job_that_outlives_the_drain_is_cancelled_and_booked(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    work.open.clear()
    began = time.monotonic()
    async with serving(valkey.url, work, drain=0.2):
        await rung(queue, new_id(), new_id())
        await until(lambda: work.now == 2)
    assert time.monotonic() - began < 3
    assert work.now == 0
    assert books(valkey) == NOTHING | {"failed": 2}


async def test_an_idle_worker_stops_within_a_second(valkey: RealValkey, work: Work) -> None:
    async with serving(valkey.url, work):
        await until(lambda: len(workers(valkey)) == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 1


async def test_a_second_doorbell_for_a_job_in_flight_starts_nothing(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    work.open.clear()
    job_id = new_id()
    async with serving(valkey.url, work):
        await rung(queue, job_id)
        await until(lambda: work.now == 1)
        await rung(queue, job_id)
        work.due = [job_id]
        await until(lambda: not work.due and books(valkey)["queued"] == 0)
        assert work.ran[job_id] == 1
        assert books(valkey)["intermediate"] == 0
        work.open.set()
        await until(lambda: books(valkey) == NOTHING | {"finished": 1})
        await rung(queue, job_id)
        await until(lambda: work.ran[job_id] == 2)


# What a killed worker leaves


async def test_what_a_killed_worker_left_is_cleared_without_a_call(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    left, lost = new_id(), new_id()
    await rung(queue, left, lost)
    dead = worker_rq_books.RqBooks(valkey.client, "q")
    ((text,), (stuck,)) = dead.take(1, 0), dead.take(1, 0)
    dead.beat()
    dead.enter(left, rung=True)
    dead.write()
    assert (text.decode(), stuck.decode()) == (str(left), str(lost))
    valkey.client.hset(f"rq:job:{left}", "failure_callback_name", "os.getcwd")
    (entry,) = valkey.client.zrange("rq:wip:q", 0, -1)
    valkey.client.zadd("rq:wip:q", {entry: time.time() - 1})  # as if its time had passed
    valkey.client.delete(dead.key)
    heir = worker_rq_books.RqBooks(valkey.client, "q")
    heir.beat()
    heir.tidy()
    assert books(valkey) == NOTHING | {"intermediate": 1, "indexed": 1}
    heir._lingering = {text: since - 60 for text, since in heir._lingering.items()}
    heir.tidy()
    assert books(valkey) == NOTHING | {"indexed": 1}
    assert 0 < valkey.client.ttl(dead.executions_key) <= 30
    assert valkey.client.smembers("rq:workers:q") == {heir.key.encode()}
    assert not valkey.client.exists(f"rq:job:{lost}")
    assert 0 < valkey.client.ttl(f"rq:job:{left}") <= 60


def test_the_books_become_true_again_within_a_minute() -> None:
    clearing = max(worker_rq_books.EXECUTION_TTL, worker_rq_books.ABANDONED + worker_rq_clerk.TIDY_EVERY)
    assert clearing + worker_rq_clerk.TIDY_EVERY < 60
    assert worker_rq_clerk.BEAT_EVERY * 3 < worker_rq_books.EXECUTION_TTL < worker_rq_books.WORKER_TTL


# The sweep


async def test_the_sweep_runs_what_is_due_and_books_it(valkey: RealValkey, work: Work) -> None:
    job_ids = [new_id() for _ in range(50)]
    work.due = list(job_ids)
    async with serving(valkey.url, work) as worker:
        await until(lambda: books(valkey) == NOTHING | {"finished": 50})
        assert workers(valkey)[0].successful_job_count == 50
        assert worker.in_flight == 0
    assert work.ran == Counter(dict.fromkeys(job_ids, 1))
    assert work.most <= 20
    assert fetch(valkey, job_ids[0]).args == [str(job_ids[0])]


async def test_a_sweep_hears_how_the_queue_stands(valkey: RealValkey, queue: RqJobQueue, work: Work) -> None:
    work.open.clear()
    first, second = new_id(), new_id()
    async with serving(valkey.url, work, concurrency=1):
        await until(lambda: (1, HeadOfQueue(reachable=True)) in work.offers)
        await rung(queue, first, second)
        await until(lambda: work.offers[-1] == (0, HeadOfQueue(reachable=True, job_id=second)))
        valkey.kill()
        await until(lambda: work.offers[-1] == (0, HeadOfQueue(reachable=False)))
        work.open.set()
    now = datetime.now(UTC)
    assert HeadOfQueue(reachable=True, job_id=second).new_before(now) == created_at(second)
    assert HeadOfQueue(reachable=True).new_before(now) == HeadOfQueue(reachable=False).new_before(now) == now


async def test_a_backlog_of_doorbells_does_not_starve_the_sweep(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    async def slow(job_id: JobId) -> None:
        work.ran[job_id] += 1
        await asyncio.sleep(0.02)

    await rung(queue, *[new_id() for _ in range(3000)])
    due = [new_id() for _ in range(10)]
    async with serving(valkey.url, work, run=slow, concurrency=10):
        await until(lambda: len(work.ran) > 50)
        work.due = list(due)
        await until(lambda: all(work.ran[one] for one in due))
        assert len(work.ran) < 2500


async def test_doorbells_for_which_there_is_no_room_stay_in_the_queue_and_redis_is_left_in_peace(
    valkey: RealValkey, queue: RqJobQueue, work: Work
) -> None:
    slots, running, refused = Slots({"a": 1, "b": 18}, 20), asyncio.Semaphore(0), 0

    async def run(job_id: JobId) -> None:
        nonlocal refused
        try:
            async with slots.hold("a", alone=False):
                work.ran[job_id] += 1
                await running.acquire()
        except NoRoom:
            refused += 1

    await rung(queue, *[new_id() for _ in range(500)])
    async with serving(valkey.url, work, run=run, room=slots.unseen, drain=0.1):
        await until(lambda: refused > 0)
        await asyncio.sleep(0.2)
        before = int(valkey.client.info("stats")["total_commands_processed"])
        await asyncio.sleep(1)
        asked = int(valkey.client.info("stats")["total_commands_processed"]) - before
        assert (books(valkey)["queued"], len(work.ran), refused) == (480, 1, 18)
        assert asked < 100
        for number in range(2, 12):
            running.release()
            await until(lambda number=number: len(work.ran) >= number)
        assert refused == 18
        await until(lambda: books(valkey)["queued"] == 480 - 10)


async def test_a_place_of_a_job_that_the_sweep_found_is_offered_to_the_sweep_again_at_once(
    valkey: RealValkey, work: Work
) -> None:
    async with serving(valkey.url, work, every=30, concurrency=4):
        await until(lambda: bool(work.offers))
        asked = len(work.offers)
    assert asked == 1
    work.due = [new_id()]
    work.open.clear()
    async with serving(valkey.url, work, every=30, concurrency=4):
        await until(lambda: work.now == 1)
        work.due, first = [new_id()], set(work.ran)
        work.open.set()
        await until(lambda: len(work.ran) == 2)
        assert first < set(work.ran)


async def test_a_sweep_that_fails_is_followed_by_the_next(valkey: RealValkey, work: Work) -> None:
    work.store_down = True
    async with serving(valkey.url, work):
        await until(lambda: len(work.offers) > 3)
        work.due, work.store_down = [new_id()], False
        await until(lambda: len(work.ran) == 1)
