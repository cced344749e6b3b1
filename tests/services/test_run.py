"""Running a job and hearing from its workflow, told on memory adapters."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.domain.errors import (
    JobNotFound,
    StaleJob,
    StoreUnavailable,
)
from app.domain.lifecycle import Completed, Delivered, Event, Failed, TroubleKind
from app.domain.models import AuditEvent, Job, JobError, JobId, JobResult, JobStatus, ParamPart
from tests.services.conftest import PROGRESS, SECOND, SUCCESS, Bench, delivered, parts, settle, trouble, workflow


async def _started(bench: Bench, job_id: JobId) -> tuple[Job, object]:
    bench.runner.hold = asyncio.Event()
    running = asyncio.create_task(bench.tasks.run(job_id))
    await settle(lambda: bench.runner.busy)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    bench.runner.hold = None
    return bench.runner.ran[-1], running


async def test_a_job_is_started_delivered_and_then_waits(bench: Bench) -> None:
    job_id = await bench.job()
    assert await bench.tasks.run(job_id) == "Delivered"
    job = await bench.get(job_id)
    assert (job.status, job.attempt) == (JobStatus.WAITING, 1)
    assert await bench.types(job_id) == ["Accepted", "Started", "Delivered"]


async def test_a_second_doorbell_finds_the_job_taken(bench: Bench) -> None:
    job_id = await bench.job()
    bench.runner.hold = asyncio.Event()
    first = asyncio.create_task(bench.tasks.run(job_id))
    await settle(lambda: bench.runner.busy)
    assert await bench.tasks.run(job_id) == "taken"
    bench.runner.hold.set()
    assert await first == "Delivered"
    assert await bench.tasks.run(job_id) == "taken"
    assert len(bench.runner.ran) == 1


async def test_a_doorbell_for_nothing_says_so(bench: Bench) -> None:
    with pytest.raises(JobNotFound):
        await bench.tasks.run(JobId((await bench.submit()).job.job_id.__class__(int=1)))


async def test_trouble_postpones_and_a_stray_doorbell_cannot_skip_the_wait(bench: Bench) -> None:
    bench.runner.script = [trouble(TroubleKind.UNAVAILABLE), delivered]
    job_id = await bench.job()
    assert await bench.tasks.run(job_id) == "Postponed"
    job = await bench.get(job_id)
    assert job.trouble is not None
    assert (job.status, job.trouble.kind, job.trouble.count) == (JobStatus.QUEUED, "unavailable", 1)
    assert await bench.tasks.run(job_id) == "taken"
    assert await bench.sweep() == []
    bench.clock.move(6 * SECOND)
    assert await bench.sweep() == [job_id]
    assert await bench.tasks.run(job_id) == "Delivered"
    assert (await bench.get(job_id)).trouble is None


async def test_a_final_refusal_fails_the_job_in_words(bench: Bench) -> None:
    error = JobError(type="delivery_http_410", detail="410 Gone")
    bench.runner.script = [lambda job: Failed(attempt=job.attempt, error=error)]
    job_id = await bench.job()
    assert await bench.tasks.run(job_id) == "Failed"
    assert (await bench.get(job_id)).error == error


async def test_the_workflows_callback_may_come_before_its_own_answer(bench: Bench) -> None:
    job_id = await bench.job()
    bench.runner.hold = asyncio.Event()
    running = asyncio.create_task(bench.tasks.run(job_id))
    await settle(lambda: bench.runner.busy)
    answer = await bench.tasks.callback(job_id, PROGRESS)
    assert (answer.applied, answer.job.status) == (True, JobStatus.WAITING)
    await asyncio.sleep(0.1)  # the lease's keeper sees that the attempt was handed over, and lets it go on
    bench.runner.hold.set()
    assert await running == "Delivered"
    assert await bench.types(job_id) == ["Accepted", "Started", "Delivered", "Progressed", "Delivered"]


async def test_a_job_cancelled_while_it_is_delivered_ends_the_delivery(bench: Bench) -> None:
    job_id = await bench.job()
    bench.runner.hold = asyncio.Event()
    running = asyncio.create_task(bench.tasks.run(job_id))
    await settle(lambda: bench.runner.busy)
    await bench.tasks.cancel(job_id)
    assert await asyncio.wait_for(running, 5) == "lost"
    assert (await bench.get(job_id)).status is JobStatus.CANCELLED


async def test_an_answer_after_the_cancellation_stops_the_execution_it_names(bench: Bench) -> None:
    job_id = await bench.job()

    def answered(job: Job) -> Event:
        return Delivered(attempt=job.attempt, due_in=SECOND, execution_id="231")

    bench.runner.script = [answered]
    started, _ = await _started(bench, job_id)
    await bench.tasks.cancel(job_id)
    assert await bench.tasks._report(started, answered(started)) == "late"
    assert (job_id, "231") in bench.runner.stopped


async def test_a_stopped_worker_leaves_its_delivery_in_doubt_and_not_lost(bench: Bench) -> None:
    job_id = await bench.job()
    bench.runner.hold = asyncio.Event()
    running = asyncio.create_task(bench.tasks.run(job_id))
    await settle(lambda: bench.runner.busy)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    job = await bench.get(job_id)
    assert job.trouble is not None
    assert (job.status, job.trouble.kind) == (JobStatus.WAITING, "no_answer")


async def test_an_outcome_is_kept_until_the_database_takes_it(bench: Bench) -> None:
    job_id = await bench.job()
    record, failures = bench.log.record, [StoreUnavailable("away")] * 2

    async def flaky(job: Job, line: AuditEvent, places: int | None = None) -> None:
        if line.type == "Delivered" and failures:
            raise failures.pop()
        await record(job, line, places)

    bench.log.record = flaky  # type: ignore[method-assign]
    assert await bench.tasks.run(job_id) == "Delivered"
    assert failures == []


async def test_the_next_delivery_begins_while_the_outcome_of_the_one_before_is_recorded() -> None:
    bench = Bench(workflow(in_flight=1))
    record, recording = bench.log.record, asyncio.Event()

    async def slow(job: Job, line: AuditEvent, places: int | None = None) -> None:
        if line.type == "Delivered":
            await recording.wait()
        await record(job, line, places)

    bench.log.record = slow  # type: ignore[method-assign]
    running = [asyncio.create_task(bench.tasks.run(await bench.job())) for _ in "12"]
    await settle(lambda: len(bench.runner.ran) == 2)
    recording.set()
    assert await asyncio.gather(*running) == ["Delivered"] * 2
    await bench.tasks.close()


async def test_the_slower_of_two_writers_reads_again(bench: Bench) -> None:
    job_id = await bench.job()
    record, stale = bench.log.record, [StaleJob("x")] * 3

    async def contended(job: Job, line: AuditEvent, places: int | None = None) -> None:
        if stale:
            raise stale.pop()
        await record(job, line, places)

    bench.log.record = contended  # type: ignore[method-assign]
    await bench.tasks.run(job_id)
    stale += [StaleJob("x")]
    assert (await bench.tasks.callback(job_id, SUCCESS)).applied
    assert (await bench.get(job_id)).status is JobStatus.SUCCESS


async def test_a_crowd_is_left_for_later_so_that_other_workflows_get_a_turn() -> None:
    bench = Bench(workflow("a", in_flight=1), workflow("b", in_flight=99))
    bench.runner.hold = asyncio.Event()
    jobs = [await bench.tasks.submit("me", parts(ParamPart("workflow", "a"), ("x", b"1")), None) for _ in "12"]
    running = asyncio.create_task(bench.tasks.run(jobs[0].job.job_id))
    await settle(lambda: bench.runner.busy)
    assert await bench.tasks.run(jobs[1].job.job_id) == "left for later"
    bench.runner.hold.set()
    await running
    await bench.tasks.close()


async def test_a_job_of_a_workflow_that_was_taken_out_waits_and_may_still_call_back(bench: Bench) -> None:
    job_id = await bench.job()
    del bench.workflows["n8n_notion"]
    assert await bench.tasks.run(job_id) == "of an unknown workflow"
    assert await bench.sweep() == []
    assert (await bench.tasks.callback(job_id, SUCCESS)).applied


async def test_cancelling_a_job_of_a_workflow_that_was_taken_out_works(bench: Bench) -> None:
    job_id = await bench.job()
    bench.ports.runners.clear()  # type: ignore[attr-defined]
    assert (await bench.tasks.cancel(job_id)).status is JobStatus.CANCELLED
    await bench.tasks.close()


async def test_a_result_finishes_the_job(bench: Bench) -> None:
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    answer = await bench.tasks.callback(job_id, SUCCESS)
    assert (answer.applied, answer.reason, answer.job.status) == (True, None, JobStatus.SUCCESS)
    assert answer.job == await bench.get(job_id)


async def test_a_repeat_is_answered_noted_and_changes_nothing(bench: Bench) -> None:
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    first = await bench.tasks.callback(job_id, SUCCESS)
    again = await bench.tasks.callback(job_id, SUCCESS)
    assert (again.applied, again.reason) == (False, "a repeat")
    assert again.job.result == first.job.result
    assert (await bench.types(job_id))[-1] == "Noted"


async def test_an_unknown_job_is_not_found(bench: Bench) -> None:
    unknown = replace((await bench.submit()).job, job_id=JobId((await bench.submit()).job.job_id.__class__(int=2)))
    with pytest.raises(JobNotFound):
        await bench.tasks.callback(unknown.job_id, SUCCESS)


async def test_watchers_hear_of_every_change(bench: Bench) -> None:
    job_id = await bench.job()
    async with bench.feed, bench.feed.watch(job_id) as watch:
        await bench.tasks.run(job_id)
        assert await watch.wait(SECOND)


async def test_local_work_may_complete_by_itself(bench: Bench) -> None:
    bench.runner.script = [lambda job: Completed(attempt=job.attempt, result=JobResult(data={"n": 1}))]
    job_id = await bench.job()
    assert await bench.tasks.run(job_id) == "Completed"
    assert (await bench.get(job_id)).result.data == {"n": 1}


async def test_an_outcome_after_the_workflows_own_result_changes_nothing_and_stops_nobody(bench: Bench) -> None:
    job_id = await bench.job()
    started, _ = await _started(bench, job_id)
    await bench.tasks.callback(job_id, SUCCESS)
    failed = Failed(attempt=started.attempt, error=JobError(type="delivery_http_410", detail="410 Gone"))
    assert await bench.tasks._report(started, failed) == "late"
    assert (await bench.get(job_id)).status is JobStatus.SUCCESS
    assert bench.runner.stopped == []
