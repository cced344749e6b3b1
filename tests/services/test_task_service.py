"""The story of a job, told on memory adapters."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain import audit, lifecycle
from app.domain.errors import (
    DeliveryTrouble,
    DiskFull,
    FileGone,
    IdempotencyKeyReused,
    Invalid,
    JobHasEnded,
    JobNotFound,
    JobNotRetryable,
    Malformed,
    OverQuota,
    StaleJob,
    StoreUnavailable,
    TooLarge,
    UnsupportedMediaType,
)
from app.domain.lifecycle import Completed, Delivered, Event, Failed, Noted, NoteKind, Started, TroubleKind
from app.domain.models import AuditEvent, Job, JobError, JobId, JobResult, JobStatus, ParamPart, Progress
from app.domain.workflow import FileRules
from app.services.callbacks import Callback
from tests.services.conftest import SECOND, Bench, delivered, parts, workflow

SUCCESS = Callback(status="success", progress=Progress(), result=JobResult(message="Page created"))
PROGRESS = Callback(status="processing", progress=Progress(fraction=0.4), result=JobResult())


def trouble(kind: TroubleKind, words: str = "503 Service Unavailable") -> object:
    def behave(_: Job) -> Event:
        raise DeliveryTrouble(kind, words)

    return behave


async def settle(until: object = None, rounds: int = 200) -> None:
    for _ in range(rounds):
        if callable(until) and until():
            return
        await asyncio.sleep(0.005 if until else 0)


class TestSubmit:
    async def test_a_submission_is_stored_rung_for_and_not_waited_for(self, bench: Bench) -> None:
        submitted = await bench.submit(b"12 coffees", notion_database_id="db")
        job = await bench.get(submitted.job.job_id)
        assert job == submitted.job
        assert (job.status, job.client, job.params) == (JobStatus.QUEUED, "me", {"notion_database_id": "db"})
        assert job.file is not None
        assert (job.file.size, job.file.filename) == (10, "a.txt")
        assert bench.queue.take() == job.job_id
        assert not submitted.replayed

    async def test_the_same_key_and_content_give_the_same_job_and_keep_no_second_file(self, bench: Bench) -> None:
        first, second = await bench.submit(key="order-17"), await bench.submit(key="order-17")
        assert (second.job.job_id, second.replayed) == (first.job.job_id, True)
        assert await bench.files.orphans(timedelta(seconds=-1)) == [first.job.job_id]

    async def test_the_same_key_with_other_content_is_refused(self, bench: Bench) -> None:
        await bench.submit(b"one", key="order-17")
        for content, params in ((b"two", {}), (b"one", {"note": "x"})):
            with pytest.raises(IdempotencyKeyReused) as caught:
                await bench.submit(content, key="order-17", **params)
            assert [problem.field for problem in caught.value.problems] == ["Idempotency-Key"]
        assert len(await bench.files.orphans(timedelta(seconds=-1))) == 1

    async def test_two_files_are_refused_and_neither_is_kept(self, bench: Bench) -> None:
        with pytest.raises(Malformed):
            await bench.tasks.submit("me", parts(("a", b"1"), ("b", b"2")), None)
        assert await bench.files.orphans(timedelta(seconds=-1)) == []

    async def test_no_file_where_one_is_wanted_is_refused(self, bench: Bench) -> None:
        with pytest.raises(Malformed):
            await bench.tasks.submit("me", parts(), None)

    @pytest.mark.parametrize("name", ["nothing", 7])
    async def test_an_unknown_workflow_is_named_with_those_that_exist(self, bench: Bench, name: object) -> None:
        with pytest.raises(Invalid) as caught:
            await bench.tasks.submit("me", parts(("a", b"1"), ParamPart("workflow", name)), None)  # type: ignore[arg-type]
        assert caught.value.problems[0].field == "workflow"
        assert "n8n_notion" in caught.value.problems[0].message
        assert await bench.files.orphans(timedelta(seconds=-1)) == []

    async def test_a_field_sent_twice_is_refused(self, bench: Bench) -> None:
        with pytest.raises(Invalid) as caught:
            await bench.tasks.submit("me", parts(ParamPart("x", "1"), ParamPart("x", "2")), None)
        assert caught.value.problems[0].field == "x"

    async def test_the_workflows_own_limit_ends_the_upload_early_if_it_is_known(self) -> None:
        bench = Bench(workflow(file=FileRules(max_size=3)))
        for order in ((ParamPart("workflow", "n8n_notion"), ("a", b"12345")), (("a", b"12345"),)):
            with pytest.raises(TooLarge):
                await bench.tasks.submit("me", parts(*order), None)
        assert await bench.files.orphans(timedelta(seconds=-1)) == []

    async def test_a_type_that_the_workflow_does_not_take_is_refused_by_content(self) -> None:
        bench = Bench(workflow(file=FileRules(media_types=("image/*", "application/pdf"), max_size=1000)))
        with pytest.raises(UnsupportedMediaType, match="text/plain"):
            await bench.tasks.submit("me", parts(("photo.png", b"just text")), None)
        pdf = await bench.tasks.submit("me", parts(("a.txt", b"%PDF-1.7\n")), None)
        assert pdf.job.file is not None
        assert pdf.job.file.media_type == "application/pdf"

    async def test_a_workflow_without_a_file_takes_none(self) -> None:
        bench = Bench(workflow("report", file=None))
        named = ParamPart("workflow", "report")
        for order in ((named, ("a", b"1")), (("a", b"1"), named)):
            with pytest.raises(Invalid) as caught:
                await bench.tasks.submit("me", parts(*order), None)
            assert caught.value.problems[0].field == "file"
        job = (await bench.tasks.submit("me", parts(named, ParamPart("topic", "tides")), None)).job
        assert (job.file, job.params) == (None, {"topic": "tides"})

    async def test_a_client_over_its_quota_is_told_when_to_come_back(self) -> None:
        bench = Bench(max_open_jobs=1)
        job_id = await bench.job()
        with pytest.raises(OverQuota) as caught:
            await bench.submit()
        assert caught.value.retry_after > timedelta()
        await bench.tasks.cancel(job_id)
        await bench.submit()

    async def test_a_database_without_room_leaves_no_file(self, bench: Bench) -> None:
        async def full(_job: Job, _line: AuditEvent) -> None:
            raise DiskFull("the database has no room left")

        bench.log.add = full  # type: ignore[method-assign]
        with pytest.raises(DiskFull):
            await bench.submit()
        assert await bench.files.orphans(timedelta(seconds=-1)) == []

    async def test_where_the_commit_is_in_doubt_the_file_stays_for_the_sweep(self, bench: Bench) -> None:
        async def broken(_job: Job, _line: AuditEvent) -> None:
            raise StoreUnavailable("the connection broke during the commit")

        bench.log.add = broken  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await bench.submit()
        assert len(await bench.files.orphans(timedelta(seconds=-1))) == 1


class TestRun:
    async def test_a_job_is_started_delivered_and_then_waits(self, bench: Bench) -> None:
        job_id = await bench.job()
        assert await bench.tasks.run(job_id) == "Delivered"
        job = await bench.get(job_id)
        assert (job.status, job.attempt) == (JobStatus.WAITING, 1)
        assert await bench.types(job_id) == ["Accepted", "Started", "Delivered"]

    async def test_a_second_doorbell_finds_the_job_taken(self, bench: Bench) -> None:
        job_id = await bench.job()
        bench.runner.hold = asyncio.Event()
        first = asyncio.create_task(bench.tasks.run(job_id))
        await settle(lambda: bench.runner.busy)
        assert await bench.tasks.run(job_id) == "taken"
        bench.runner.hold.set()
        assert await first == "Delivered"
        assert await bench.tasks.run(job_id) == "taken"
        assert len(bench.runner.ran) == 1

    async def test_a_doorbell_for_nothing_says_so(self, bench: Bench) -> None:
        with pytest.raises(JobNotFound):
            await bench.tasks.run(JobId((await bench.submit()).job.job_id.__class__(int=1)))

    async def test_trouble_postpones_and_a_stray_doorbell_cannot_skip_the_wait(self, bench: Bench) -> None:
        bench.runner.script = [trouble(TroubleKind.UNAVAILABLE), delivered]  # type: ignore[list-item]
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

    async def test_a_final_refusal_fails_the_job_in_words(self, bench: Bench) -> None:
        error = JobError(type="delivery_http_410", detail="410 Gone")
        bench.runner.script = [lambda job: Failed(attempt=job.attempt, error=error)]
        job_id = await bench.job()
        assert await bench.tasks.run(job_id) == "Failed"
        assert (await bench.get(job_id)).error == error

    async def test_the_workflows_callback_may_come_before_its_own_answer(self, bench: Bench) -> None:
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

    async def test_a_job_cancelled_while_it_is_delivered_ends_the_delivery(self, bench: Bench) -> None:
        job_id = await bench.job()
        bench.runner.hold = asyncio.Event()
        running = asyncio.create_task(bench.tasks.run(job_id))
        await settle(lambda: bench.runner.busy)
        await bench.tasks.cancel(job_id)
        assert await asyncio.wait_for(running, 5) == "lost"
        assert (await bench.get(job_id)).status is JobStatus.CANCELLED

    async def test_an_answer_after_the_cancellation_stops_the_execution_it_names(self, bench: Bench) -> None:
        job_id = await bench.job()

        def answered(job: Job) -> Event:
            return Delivered(attempt=job.attempt, due_in=SECOND, execution_id="231")

        bench.runner.script = [answered]
        started, _ = await _started(bench, job_id)
        await bench.tasks.cancel(job_id)
        assert await bench.tasks._report(started, answered(started)) == "late"
        assert (job_id, "231") in bench.runner.stopped

    async def test_a_stopped_worker_leaves_its_delivery_in_doubt_and_not_lost(self, bench: Bench) -> None:
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

    async def test_an_outcome_is_kept_until_the_database_takes_it(self, bench: Bench) -> None:
        job_id = await bench.job()
        record, failures = bench.log.record, [StoreUnavailable("away")] * 2

        async def flaky(job: Job, line: AuditEvent) -> None:
            if line.type == "Delivered" and failures:
                raise failures.pop()
            await record(job, line)

        bench.log.record = flaky  # type: ignore[method-assign]
        assert await bench.tasks.run(job_id) == "Delivered"
        assert failures == []

    async def test_the_slower_of_two_writers_reads_again(self, bench: Bench) -> None:
        job_id = await bench.job()
        record, stale = bench.log.record, [StaleJob("x")] * 3

        async def contended(job: Job, line: AuditEvent) -> None:
            if stale:
                raise stale.pop()
            await record(job, line)

        bench.log.record = contended  # type: ignore[method-assign]
        await bench.tasks.run(job_id)
        stale += [StaleJob("x")]
        assert (await bench.tasks.callback(job_id, SUCCESS)).applied
        assert (await bench.get(job_id)).status is JobStatus.SUCCESS

    async def test_a_crowd_is_left_for_later_so_that_other_workflows_get_a_turn(self) -> None:
        bench = Bench(workflow("a", in_flight=1), workflow("b", in_flight=99))
        bench.runner.hold = asyncio.Event()
        jobs = [await bench.tasks.submit("me", parts(ParamPart("workflow", "a"), ("x", b"1")), None) for _ in "12"]
        running = asyncio.create_task(bench.tasks.run(jobs[0].job.job_id))
        await settle(lambda: bench.runner.busy)
        assert await bench.tasks.run(jobs[1].job.job_id) == "left for later"
        bench.runner.hold.set()
        await running
        await bench.tasks.close()

    async def test_a_job_of_a_workflow_that_was_taken_out_waits_and_may_still_call_back(self, bench: Bench) -> None:
        job_id = await bench.job()
        del bench.workflows["n8n_notion"]
        assert await bench.tasks.run(job_id) == "of an unknown workflow"
        assert await bench.sweep() == []
        assert (await bench.tasks.callback(job_id, SUCCESS)).applied

    async def test_cancelling_a_job_of_a_workflow_that_was_taken_out_works(self, bench: Bench) -> None:
        job_id = await bench.job()
        bench.ports.runners.clear()  # type: ignore[attr-defined]
        assert (await bench.tasks.cancel(job_id)).status is JobStatus.CANCELLED
        await bench.tasks.close()


async def _started(bench: Bench, job_id: JobId) -> tuple[Job, object]:
    bench.runner.hold = asyncio.Event()
    running = asyncio.create_task(bench.tasks.run(job_id))
    await settle(lambda: bench.runner.busy)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    bench.runner.hold = None
    return bench.runner.ran[-1], running


class TestSweep:
    async def test_a_lost_lease_is_found_and_the_job_started_again(self, bench: Bench) -> None:
        job_id = await bench.job()
        await _lose(bench, job_id)
        assert await bench.sweep() == [job_id]
        assert await bench.tasks.run(job_id) == "Delivered"
        assert (await bench.get(job_id)).attempt == 2

    async def test_a_job_that_lost_its_lease_three_times_fails(self, bench: Bench) -> None:
        job_id = await bench.job()
        for _ in range(3):
            await _lose(bench, job_id)
            await bench.sweep()
        job = await bench.get(job_id)
        assert job.error is not None
        assert (job.status, job.error.type) == (JobStatus.FAILURE, "worker_lost")

    async def test_a_new_job_is_left_to_its_doorbell_unless_that_must_be_lost(self, bench: Bench) -> None:
        job_id = await bench.job()
        bench.clock.move(SECOND)
        assert await bench.tasks.sweep(10, None) == []
        assert await bench.tasks.sweep(10, bench.clock() - 2 * SECOND) == []
        assert await bench.tasks.sweep(10, bench.clock()) == [job_id]
        assert await bench.tasks.sweep(10, bench.clock(), [job_id]) == []
        assert await bench.tasks.sweep(0, bench.clock()) == []

    async def test_silence_after_delivery_is_noted_and_ends_at_the_deadline(self, bench: Bench) -> None:
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

    async def test_an_overdue_job_asks_the_far_side(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.run(job_id)
        bench.runner.answer = lambda _: Noted(kind=NoteKind.ASKED, words={"answer": "running"})
        bench.clock.move(timedelta(minutes=15))
        await bench.sweep()
        await settle(lambda: not bench.tasks._asking)
        job = await bench.get(job_id)
        assert (job.status, job.due_at) == (JobStatus.WAITING, bench.clock() + timedelta(minutes=15))
        bench.runner.answer = lambda job: Failed(error=JobError(type="execution_crashed", detail="n8n says: crashed"))
        bench.clock.move(timedelta(minutes=15))
        await bench.sweep()
        await settle(lambda: not bench.tasks._asking)
        job = await bench.get(job_id)
        assert job.error is not None
        assert job.error.type == "execution_crashed"
        assert bench.runner.asked == [job_id, job_id]

    async def test_a_database_that_goes_away_while_asking_is_asked_again_later(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.run(job_id)
        record = bench.log.record

        async def away(_job: Job, _line: AuditEvent) -> None:
            raise StoreUnavailable("away")

        bench.log.record = away  # type: ignore[method-assign]
        bench.clock.move(timedelta(minutes=15))
        await bench.sweep()
        await settle(lambda: not bench.tasks._asking)
        bench.log.record = record  # type: ignore[method-assign]
        await bench.sweep()
        await settle(lambda: not bench.tasks._asking)
        assert (await bench.types(job_id))[-1] == "Noted"

    async def test_doubt_ends_in_another_try(self, bench: Bench) -> None:
        bench.runner.script = [trouble(TroubleKind.NO_ANSWER), delivered]  # type: ignore[list-item]
        job_id = await bench.job()
        assert await bench.tasks.run(job_id) == "Delivered"
        bench.clock.move(61 * SECOND)
        await bench.sweep()
        assert (await bench.get(job_id)).status is JobStatus.QUEUED
        bench.clock.move(7 * SECOND)
        assert await bench.sweep() == [job_id]

    async def test_two_sweepers_settle_a_job_once(self, bench: Bench) -> None:
        job_id = await bench.job()
        await _lose(bench, job_id)
        stale = await bench.agenda.due(bench.clock(), 10, bench.workflows.keys())
        await bench.sweep()
        await bench.tasks._settle(stale[0])
        assert (await bench.types(job_id)).count("Postponed") == 1

    async def test_a_job_looked_at_too_early_is_left_alone(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.run(job_id)
        await bench.tasks._settle(await bench.get(job_id))
        assert (await bench.get(job_id)).status is JobStatus.WAITING


async def _lose(bench: Bench, job_id: JobId) -> None:
    """As if the worker had been killed: started, and never heard of again."""
    job, line = lifecycle.advance(await bench.get(job_id), Started(lease=10 * SECOND), bench.clock())
    await bench.log.record(job, line)
    bench.clock.move(11 * SECOND)


class TestCallback:
    async def test_a_result_finishes_the_job(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.run(job_id)
        answer = await bench.tasks.callback(job_id, SUCCESS)
        assert (answer.applied, answer.reason, answer.job.status) == (True, None, JobStatus.SUCCESS)
        assert answer.job == await bench.get(job_id)

    async def test_a_repeat_is_answered_noted_and_changes_nothing(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.run(job_id)
        first = await bench.tasks.callback(job_id, SUCCESS)
        again = await bench.tasks.callback(job_id, SUCCESS)
        assert (again.applied, again.reason) == (False, "a repeat")
        assert again.job.result == first.job.result
        assert (await bench.types(job_id))[-1] == "Noted"

    async def test_an_unknown_job_is_not_found(self, bench: Bench) -> None:
        unknown = replace((await bench.submit()).job, job_id=JobId((await bench.submit()).job.job_id.__class__(int=2)))
        with pytest.raises(JobNotFound):
            await bench.tasks.callback(unknown.job_id, SUCCESS)


class TestCancelRetryErase:
    async def test_a_cancelled_job_is_stopped_at_the_far_side(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.run(job_id)
        assert (await bench.tasks.cancel(job_id)).status is JobStatus.CANCELLED
        await bench.tasks.close()
        assert bench.runner.stopped == [(job_id, None)]
        with pytest.raises(JobHasEnded):
            await bench.tasks.cancel(job_id)

    async def test_a_retry_is_a_new_job_with_its_own_link_to_the_bytes(self, bench: Bench) -> None:
        job_id = await bench.job(b"the bytes")
        await bench.tasks.cancel(job_id)
        retry = (await bench.tasks.retry("me", job_id)).job
        assert (retry.retry_of, retry.status, retry.version) == (job_id, JobStatus.QUEUED, 1)
        await bench.files.remove(job_id)
        async with bench.files.open(retry.job_id) as content:
            assert b"".join([chunk async for chunk in content.chunks()]) == b"the bytes"

    async def test_while_a_retry_is_open_it_is_the_answer(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.cancel(job_id)
        first, second = await bench.tasks.retry("me", job_id), await bench.tasks.retry("me", job_id)
        assert (second.job.job_id, second.replayed) == (first.job.job_id, True)
        assert len(await bench.files.orphans(timedelta(seconds=-1))) == 2
        await bench.tasks.cancel(first.job.job_id)
        assert (await bench.tasks.retry("me", job_id)).job.job_id != first.job.job_id

    async def test_only_what_failed_or_was_cancelled_can_be_retried(self, bench: Bench) -> None:
        job_id = await bench.job()
        for _ in range(2):
            with pytest.raises(JobNotRetryable):
                await bench.tasks.retry("me", job_id)
            await bench.tasks.run(job_id)
        await bench.tasks.callback(job_id, SUCCESS)
        with pytest.raises(JobNotRetryable):
            await bench.tasks.retry("me", job_id)

    async def test_a_job_without_a_file_can_be_retried(self) -> None:
        bench = Bench(workflow("report", file=None))
        job = (await bench.tasks.submit("me", parts(ParamPart("workflow", "report")), None)).job
        await bench.tasks.cancel(job.job_id)
        assert (await bench.tasks.retry("me", job.job_id)).job.file is None
        await bench.tasks.close()

    async def test_what_was_handed_in_may_be_gone(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.erase(job_id)
        with pytest.raises(FileGone):
            await bench.tasks.retry("me", job_id)

    async def test_an_erased_job_keeps_its_chain_and_nothing_else(self, bench: Bench) -> None:
        job_id = await bench.job()
        await bench.tasks.run(job_id)
        await bench.tasks.callback(job_id, SUCCESS)
        job = await bench.tasks.erase(job_id)
        assert (job.status, job.salt, job.params, job.result) == (JobStatus.SUCCESS, None, {}, JobResult())
        assert audit.verify(job, job_id, await bench.log.history(job_id)) is None
        with pytest.raises(FileGone):
            async with bench.files.open(job_id):
                pass
        assert await bench.tasks.erase(job_id) == job

    async def test_an_unfinished_job_is_cancelled_before_it_is_erased(self, bench: Bench) -> None:
        job_id = await bench.job()
        erase, stale = bench.log.erase, [StaleJob("x")]

        async def contended(job: Job, line: AuditEvent) -> None:
            if stale:
                raise stale.pop()
            await erase(job, line)

        bench.log.erase = contended  # type: ignore[method-assign]
        assert (await bench.tasks.erase(job_id)).status is JobStatus.CANCELLED


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
