"""What the step runner promises beside what every Runner does."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from app.domain.errors import Misconfigured, StoreUnavailable, ToolRefused, ToolTrouble
from app.domain.lifecycle import Postponed
from app.domain.models import AuditEvent, Job, JobId, JobStatus, Json
from app.domain.protocols import StepOutput
from app.domain.tools import Usage
from app.domain.work import Work
from tests.contracts.step_stage import StepStage, step_of
from tests.services.conftest import SECOND, settle


class Greeter(Protocol):
    def greet(self, name: str) -> str:
        """Politely."""
        ...


class Polite:
    def greet(self, name: str) -> str:
        return f"Good morning, {name}"


async def gather(work: Work) -> Json:
    return [str(work.params["topic"]), "two"]


async def count(work: Work) -> Json:
    found = work.outputs["gather"]
    assert isinstance(found, list)
    return {"message": "Counted", "data": {"count": len(found)}}


async def test_steps_run_in_order_and_the_last_one_makes_the_result() -> None:
    stage = StepStage([step_of(gather), step_of(count)])
    job = await stage.ran(topic="owls")
    assert job.status is JobStatus.SUCCESS
    assert (job.result.message, job.result.data) == ("Counted", {"count": 2})
    assert [(done.name, done.output) for done in await stage.kept(job)] == [
        ("gather", ["owls", "two"]),
        ("count", {"message": "Counted", "data": {"count": 2}}),
    ]


async def test_a_line_is_written_before_and_after_each_step_with_its_share_of_the_whole() -> None:
    stage = StepStage([step_of(gather, weight=3), step_of(count, title="Counting")])
    job = await stage.ran(topic="owls")
    lines = [line for line in await stage.bench.log.history(job.job_id) if line.type == "Progressed"]
    shown = [(line.facts.get("progress_millis"), (line.detail or {})["progress_message"]) for line in lines]
    assert shown == [(0, "Gather"), (750, "Gather: done"), (None, "Counting"), (1000, "Counting: done")]
    assert all("seconds" in (line.detail or {}) for line in lines[1::2])
    assert (job.progress.step, job.progress.steps, job.progress.fraction) == (2, 2, 1.0)


async def test_what_a_step_took_of_a_model_is_kept_and_shown() -> None:
    async def write(work: Work) -> Json:
        work.used(Usage(tokens_in=10, tokens_out=5))
        work.used(Usage(tokens_in=1, cost=0.25))
        work.used(Usage(tokens_in=1, cost=0.5))
        return "text"

    stage = StepStage([step_of(write)])
    job = await stage.ran()
    assert (await stage.kept(job))[0].usage == Usage(tokens_in=12, tokens_out=5, cost=0.75)
    detail = (await stage.bench.log.history(job.job_id))[-2].detail or {}
    assert (detail["tokens_in"], detail["tokens_out"], detail["cost"]) == (12, 5, 0.75)
    assert job.result.data == "text"


async def test_a_step_is_given_what_its_annotations_name() -> None:
    async def greet(work: Work, greeter: Greeter) -> Json:
        return greeter.greet(str(work.params["name"]))

    stage = StepStage([step_of(greet)], tools={Greeter: Polite()})
    assert (await stage.ran(name="Ada")).result.data == "Good morning, Ada"


def test_what_nobody_can_give_stops_the_start_and_is_all_named() -> None:
    async def greet(work: Work, greeter: Greeter, other) -> Json:
        return None

    async def vague(work: Work, thing: Nowhere) -> Json:  # type: ignore[name-defined]  # noqa: F821
        return None

    def plain(work: Work) -> Json:
        return None

    with pytest.raises(Misconfigured) as caught:
        StepStage([step_of(greet), step_of(plain), step_of(vague)])
    told = " ".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for word in ("Greeter", "other", "async def", "Nowhere", "step greet", "step plain", "step vague"):
        assert word in told


async def test_a_finished_step_is_not_run_again_when_the_job_goes_on() -> None:
    ran: list[str] = []
    held = asyncio.Event()

    async def first(work: Work) -> Json:
        ran.append("first")
        return 1

    async def second(work: Work) -> Json:
        ran.append("second")
        await held.wait()
        return work.outputs["first"]

    stage = StepStage([step_of(first), step_of(second)])
    job_id = await stage.job()
    running = asyncio.create_task(stage.bench.tasks.run(job_id))
    await settle(lambda: "second" in ran)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    job = await stage.bench.get(job_id)
    assert (job.status, job.due_at) == (JobStatus.QUEUED, stage.bench.clock())
    held.set()
    assert await stage.bench.tasks.run(job_id) == "Completed"
    assert ran == ["first", "second", "second"]


async def test_a_step_that_an_earlier_attempt_left_behind_is_done_with_even_if_no_line_says_so() -> None:
    stage = StepStage([step_of(gather), step_of(count)])
    job_id = await stage.job(topic="owls")
    kept = stage.store.kept

    async def as_after_a_crash(job_id: JobId) -> list[StepOutput]:
        return [StepOutput(step=1, name="gather", output=["a", "b", "c"]), *await kept(job_id)]

    stage.store.kept = as_after_a_crash  # type: ignore[method-assign]
    await stage.bench.tasks.run(job_id)
    assert (await stage.bench.get(job_id)).result.data == {"count": 3}


async def test_trouble_of_a_moment_is_tried_again_within_the_step() -> None:
    tries: list[int] = []

    async def flaky(work: Work) -> Json:
        tries.append(1)
        if len(tries) == 1:
            raise ToolTrouble("503", timedelta(milliseconds=1))
        if len(tries) == 2:
            raise ConnectionResetError
        return len(tries)

    stage = StepStage([step_of(flaky)])
    assert (await stage.ran()).result.data == 3


@pytest.mark.parametrize("wished", [None, timedelta(minutes=2)], ids=["no wish", "a longer pause is wished"])
async def test_trouble_that_stays_is_left_to_the_jobs_schedule_in_words(wished: timedelta | None) -> None:
    async def away(work: Work) -> Json:
        raise ToolTrouble("the search is away", wished)

    stage = StepStage([step_of(away, title="Searching")])
    job = await stage.ran()
    assert (job.status, job.trouble and job.trouble.kind) == (JobStatus.QUEUED, "step")
    line = (await stage.bench.log.history(job.job_id))[-1]
    assert line.type == Postponed.__name__
    assert (line.detail or {})["answer"] == "step 1 (Searching): the search is away"
    assert job.due_at is not None
    assert job.due_at - stage.bench.clock() >= (wished or 4 * SECOND)


async def test_a_refusal_fails_the_job_with_the_steps_name_and_keeps_what_was_done() -> None:
    async def refused(work: Work) -> Json:
        raise ToolRefused("the key is wrong")

    stage = StepStage([step_of(gather), step_of(refused, title="Writing")])
    job = await stage.ran(topic="owls")
    assert job.status is JobStatus.FAILURE
    assert job.error is not None
    assert (job.error.type, job.error.detail) == ("step_failed", "step 2 (Writing): the key is wrong")
    assert [done.name for done in await stage.kept(job)] == ["gather"]


async def test_any_other_error_fails_the_job_and_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(work: Work) -> Json:
        raise ValueError(f"cannot read {await work.text()}")

    caplog.set_level(logging.DEBUG)
    job = await StepStage([step_of(broken)]).ran(b"a secret of the uploader")
    assert job.error is not None
    assert job.error.detail == "step 1 (Broken): it ended with ValueError"
    assert "in broken" in caplog.text
    assert "a secret" not in caplog.text


@pytest.mark.parametrize(
    "output", [float("nan"), {1, 2}, "\ud800", "x" * 9_000_000], ids=["nan", "set", "surrogate", "large"]
)
async def test_what_is_no_json_or_too_large_fails_the_job(output: object) -> None:
    async def odd(work: Work) -> Json:
        return output  # type: ignore[return-value]

    job = await StepStage([step_of(odd)]).ran()
    assert job.error is not None
    assert job.error.detail.startswith("step 1 (Odd): what it returned is ")


async def test_the_soft_limit_is_told_and_the_hard_limit_ends_a_try() -> None:
    seen: list[timedelta] = []

    async def slow(work: Work) -> Json:
        seen.append(work.time_left)
        await asyncio.sleep(0.03)
        seen.append(work.time_left)
        await asyncio.sleep(5)
        return None

    limits = {"soft_limit": timedelta(milliseconds=20), "hard_limit": timedelta(milliseconds=50)}
    stage = StepStage([step_of(slow, **limits)])
    job = await stage.ran()
    assert len(seen) == 6
    assert seen[0] > timedelta() > seen[1]
    assert (job.status, job.trouble and job.trouble.kind) == (JobStatus.QUEUED, "step")
    assert "did not come to its end in time" in str((await stage.bench.log.history(job.job_id))[-1].detail)


async def test_a_cancelled_job_ends_its_running_step_at_once() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def long(work: Work) -> Json:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return None

    stage = StepStage([step_of(long)])
    job_id = await stage.job()
    running = asyncio.create_task(stage.bench.tasks.run(job_id))
    await began.wait()
    at = time.monotonic()
    await stage.bench.tasks.cancel(job_id)
    assert await asyncio.wait_for(running, 5) == "lost"
    assert ended.is_set()
    assert time.monotonic() - at < 1
    assert (await stage.bench.get(job_id)).status is JobStatus.CANCELLED


async def test_a_step_of_an_attempt_that_is_over_keeps_nothing() -> None:
    stage: StepStage

    async def late(work: Work) -> Json:
        # Nothing wakes the listener, and no renewal has come by yet.
        stored = stage.bench.jobs.jobs
        stored[work.job_id] = replace(stored[work.job_id], attempt=2)
        return "late"

    stage = StepStage([step_of(late)])
    job_id = await stage.job()
    assert await stage.bench.tasks.run(job_id) == "lost"
    assert await stage.store.kept(job_id) == []


async def test_progress_inside_a_step_is_written_at_most_once_a_second_and_never_goes_back() -> None:
    stage: StepStage

    async def busy(work: Work) -> Json:
        for tenth in range(11):
            await work.progress(tenth / 10, f"{tenth} of 10")
        await asyncio.sleep(1.01)
        await work.progress(7, "over the top")
        await work.progress(0.1, "unheard")
        await asyncio.sleep(1.01)
        await work.progress(-1)
        return None

    stage = StepStage([step_of(gather), step_of(busy)])
    job = await stage.ran(topic="x")
    lines = [line for line in await stage.bench.log.history(job.job_id) if line.type == "Progressed"]
    assert [(line.detail or {})["progress_message"] for line in lines[2:]] == [
        "Busy",
        "over the top",
        "Busy",
        "Busy: done",
    ]
    assert job.progress.fraction == 1.0


async def test_a_database_that_is_away_is_waited_for() -> None:
    stage = StepStage([step_of(gather), step_of(count)])
    keep, record, away = stage.store.keep, stage.bench.log.record, [StoreUnavailable("away")] * 2

    async def flaky_keep(job_id: JobId, attempt: int, done: StepOutput) -> None:
        if away:
            raise away.pop()
        await keep(job_id, attempt, done)

    async def flaky_record(job: Job, line: AuditEvent, places: int | None = None) -> None:
        if line.type == "Progressed" and len(away) == 2:
            raise away.pop()
        await record(job, line, places)

    stage.store.keep, stage.bench.log.record = flaky_keep, flaky_record  # type: ignore[method-assign]
    assert (await stage.ran(topic="owls")).status is JobStatus.SUCCESS
    assert away == []


def busy_sum(numbers: list[int]) -> tuple[int, int]:
    return os.getpid(), sum(numbers)


def endless(path: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123
        file.write(str(os.getpid()))
    while True:
        pass


def broken_off() -> None:
    os._exit(3)


async def test_what_computes_for_long_runs_in_another_process() -> None:
    async def compute(work: Work) -> Json:
        return list(await work.off_loop(busy_sum, [1, 2, 3]))

    pid, total = (await StepStage([step_of(compute)]).ran()).result.data  # type: ignore[misc]
    assert total == 6
    assert pid != os.getpid()


async def test_a_process_that_ends_is_trouble_of_a_moment() -> None:
    tries: list[int] = []

    async def compute(work: Work) -> Json:
        tries.append(1)
        if len(tries) == 1:
            await work.off_loop(broken_off)
        return list(await work.off_loop(busy_sum, [4]))[1:]

    assert (await StepStage([step_of(compute)]).ran()).result.data == [4]


async def test_a_cancelled_step_takes_its_process_with_it(tmp_path) -> None:
    told = tmp_path / "pid"

    async def compute(work: Work) -> Json:
        return await work.off_loop(endless, str(told))

    stage = StepStage([step_of(compute)])
    job_id = await stage.job()
    running = asyncio.create_task(stage.bench.tasks.run(job_id))
    await settle(lambda: told.exists() and told.read_text(), rounds=2000)
    await stage.bench.tasks.cancel(job_id)
    await asyncio.wait_for(running, 5)
    await settle(lambda: _is_gone(int(told.read_text())), rounds=1000)
    assert _is_gone(int(told.read_text()))


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_step_reads_what_was_handed_in() -> None:
    async def read(work: Work) -> Json:
        async with work.open() as content:
            assert work.file is not None
            return [await work.text(), content.size, work.file.filename]

    assert (await StepStage([step_of(read)]).ran("\ufeffgrüß".encode())).result.data == ["grüß", 9, "a.txt"]


async def test_what_is_no_text_is_refused_in_words() -> None:
    async def read(work: Work) -> Json:
        return await work.text()

    job = await StepStage([step_of(read)]).ran(b"\xff\xfe\x00")
    assert job.error is not None
    assert job.error.detail == "step 1 (Read): the file is not text in UTF-8"


async def test_nobody_is_asked_about_local_work() -> None:
    stage = StepStage([step_of(gather)])
    job = await stage.ran(topic="x")
    assert await stage.runner().ask(job) is None
    await stage.runner().stop(job)
