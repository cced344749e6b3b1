"""What the sweep finds and settles, told on memory adapters."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.domain import lifecycle
from app.domain.errors import StoreUnavailable
from app.domain.lifecycle import Failed, Noted, NoteKind, Started, TroubleKind
from app.domain.models import AuditEvent, Job, JobError, JobId, JobStatus, ParamPart
from app.services import task_service
from tests.services.conftest import PROGRESS, SECOND, Bench, delivered, parts, settle, trouble, workflow


async def _lose(bench: Bench, job_id: JobId) -> None:
    """As if the worker had been killed: started, and never heard of again."""
    job, line = lifecycle.advance(await bench.get(job_id), Started(lease=10 * SECOND), bench.clock())
    await bench.log.record(job, line)
    bench.clock.move(11 * SECOND)


async def test_a_lost_lease_is_found_and_the_job_started_again(bench: Bench) -> None:
    job_id = await bench.job()
    await _lose(bench, job_id)
    assert await bench.sweep() == [job_id]
    assert await bench.tasks.run(job_id) == "Delivered"
    assert (await bench.get(job_id)).attempt == 2


async def test_a_job_that_lost_its_lease_three_times_fails(bench: Bench) -> None:
    job_id = await bench.job()
    for _ in range(3):
        await _lose(bench, job_id)
        await bench.sweep()
    job = await bench.get(job_id)
    assert job.error is not None
    assert (job.status, job.error.type) == (JobStatus.FAILURE, "worker_lost")


async def test_a_new_job_is_left_to_its_doorbell_unless_that_must_be_lost(bench: Bench) -> None:
    job_id = await bench.job()
    bench.clock.move(SECOND)
    assert await bench.tasks.sweep(10, None) == []
    assert await bench.tasks.sweep(10, bench.clock() - 2 * SECOND) == []
    assert await bench.tasks.sweep(10, bench.clock()) == [job_id]
    assert await bench.tasks.sweep(10, bench.clock(), [job_id]) == []
    assert await bench.tasks.sweep(0, bench.clock()) == []


async def test_while_one_workflow_is_crowded_the_others_jobs_are_found_without_their_doorbells() -> None:
    bench = Bench(workflow("a", in_flight=1), workflow("b", in_flight=98))
    bench.runner.hold = asyncio.Event()
    first, second, third = [await _of(bench, "a") for _ in "123"]
    running = [asyncio.create_task(bench.tasks.run(job_id)) for job_id in (first, second)]
    await settle(lambda: bench.runner.busy)
    bench.clock.move(SECOND)
    others = {await _of(bench, "b"), await _of(bench, "b")}
    head = bench.clock() - SECOND
    assert await bench.tasks.sweep(10, head, [first, second]) == []
    assert bench.tasks.unseen(2) == 101
    assert await bench.tasks.run(third) == "left for later"
    assert bench.tasks.unseen(2) == 0
    bench.clock.move(SECOND)
    assert set(await bench.tasks.sweep(10, head, [first, second])) == others
    bench.runner.hold.set()
    await asyncio.gather(*running)
    assert await bench.tasks.sweep(10, head + SECOND) == [third]
    assert bench.tasks.unseen(0) == 101
    await bench.tasks.close()


async def _of(bench: Bench, name: str) -> JobId:
    submitted = await bench.tasks.submit("me", parts(ParamPart("workflow", name), ("x", b"1")), None)
    return submitted.job.job_id


async def test_silence_after_delivery_is_noted_and_ends_at_the_deadline(bench: Bench) -> None:
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    for minutes in (14, 1, 15):
        bench.clock.move(timedelta(minutes=minutes))
        await bench.sweep()
        await bench.tasks.close()
    assert (await bench.types(job_id)).count("Noted") == 2
    bench.clock.move(timedelta(hours=24))
    await bench.sweep()
    job = await bench.get(job_id)
    assert job.error is not None
    assert (job.status, job.error.type) == (JobStatus.FAILURE, "callback_deadline")


async def _overdue(bench: Bench) -> JobId:
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    bench.clock.move(timedelta(minutes=15))
    return job_id


async def test_an_overdue_job_asks_the_far_side(bench: Bench) -> None:
    job_id = await _overdue(bench)
    bench.runner.answer = lambda job: Noted(attempt=job.attempt, kind=NoteKind.ASKED, words={"answer": "running"})
    await bench.sweep()
    await bench.tasks.close()
    job = await bench.get(job_id)
    assert (job.status, job.due_at) == (JobStatus.WAITING, bench.clock() + timedelta(minutes=15))
    assert [line.facts.get("note") for line in (await bench.log.history(job_id))[-2:]] == ["overdue", "asked"]
    bench.runner.answer = lambda job: Failed(error=JobError(type="execution_crashed", detail="n8n says: crashed"))
    bench.clock.move(timedelta(minutes=15))
    await bench.sweep()
    await bench.tasks.close()
    job = await bench.get(job_id)
    assert job.error is not None
    assert job.error.type == "execution_crashed"
    assert bench.runner.asked == [job_id, job_id]


async def test_of_several_who_sweep_one_asks_about_a_job(bench: Bench) -> None:
    job_id = await _overdue(bench)
    stale = await bench.get(job_id)
    await bench.sweep()
    await bench.tasks._settle(stale)
    await bench.tasks.close()
    assert bench.runner.asked == [job_id]
    assert (await bench.types(job_id)).count("Noted") == 1


async def test_what_the_far_side_says_does_not_count_once_the_job_went_on(bench: Bench) -> None:
    job_id = await _overdue(bench)
    bench.runner.quiet = asyncio.Event()
    bench.runner.answer = lambda job: Failed(attempt=job.attempt, error=JobError(type="no_callback", detail="x"))
    await bench.sweep()
    await settle(lambda: bench.runner.asked)
    await bench.tasks.callback(job_id, PROGRESS)
    bench.runner.quiet.set()
    await bench.tasks.close()
    assert (await bench.get(job_id)).status is JobStatus.WAITING


async def test_slow_answers_hold_up_no_sweep_and_at_most_four_are_awaited(bench: Bench) -> None:
    jobs = [await bench.job() for _ in range(6)]
    for job_id in jobs:
        await bench.tasks.run(job_id)
    bench.runner.quiet = asyncio.Event()
    bench.clock.move(timedelta(minutes=15))
    new = await bench.job()
    assert await bench.tasks.sweep(100, bench.clock() + SECOND) == [new]
    await settle(lambda: len(bench.runner.asked) > 4, rounds=20)
    assert len(bench.runner.asked) == 4
    bench.runner.quiet.set()
    await bench.tasks.close()
    assert sorted(bench.runner.asked) == sorted(jobs)


async def test_an_end_does_not_wait_for_ever_for_an_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_service, "LAST_WORDS", timedelta(milliseconds=10))
    await _overdue(bench)
    bench.runner.quiet = asyncio.Event()
    await bench.sweep()
    await settle(lambda: bench.runner.asked)
    await bench.tasks.close()
    assert not bench.tasks._background


async def test_a_database_that_goes_away_while_asking_forgets_no_job(bench: Bench) -> None:
    job_id = await _overdue(bench)
    record = bench.log.record

    async def away(_job: Job, _line: AuditEvent, _since: object = None) -> None:
        raise StoreUnavailable("away")

    bench.runner.quiet = asyncio.Event()
    bench.runner.answer = lambda job: Failed(error=JobError(type="execution_crashed", detail="n8n says: crashed"))
    await bench.sweep()
    bench.log.record = away  # type: ignore[method-assign]
    bench.runner.quiet.set()
    await bench.tasks.close()
    bench.log.record = record  # type: ignore[method-assign]
    bench.clock.move(timedelta(minutes=15))
    await bench.sweep()
    await bench.tasks.close()
    assert (await bench.get(job_id)).status is JobStatus.FAILURE


async def test_doubt_ends_in_another_try(bench: Bench) -> None:
    bench.runner.script = [trouble(TroubleKind.NO_ANSWER), delivered]
    job_id = await bench.job()
    assert await bench.tasks.run(job_id) == "Delivered"
    bench.clock.move(61 * SECOND)
    await bench.sweep()
    assert (await bench.get(job_id)).status is JobStatus.QUEUED
    bench.clock.move(7 * SECOND)
    assert await bench.sweep() == [job_id]


async def test_two_sweepers_settle_a_job_once(bench: Bench) -> None:
    job_id = await bench.job()
    await _lose(bench, job_id)
    stale = await bench.get(job_id)
    await bench.sweep()
    await bench.tasks._settle(stale)
    assert (await bench.types(job_id)).count("Postponed") == 1


async def test_a_job_looked_at_too_early_is_left_alone(bench: Bench) -> None:
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    await bench.tasks._settle(await bench.get(job_id))
    assert (await bench.get(job_id)).status is JobStatus.WAITING
