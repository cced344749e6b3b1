"""Cancelling, trying again and erasing, told on memory adapters."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain import verification
from app.domain.errors import (
    FileGone,
    JobHasEnded,
    JobNotRetryable,
    StaleJob,
)
from app.domain.models import AuditEvent, Job, JobResult, JobStatus, ParamPart
from tests.services.conftest import SUCCESS, Bench, parts, workflow


async def test_a_cancelled_job_is_stopped_at_the_far_side(bench: Bench) -> None:
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    assert (await bench.tasks.cancel(job_id)).status is JobStatus.CANCELLED
    await bench.tasks.close()
    assert bench.runner.stopped == [(job_id, None)]
    with pytest.raises(JobHasEnded):
        await bench.tasks.cancel(job_id)


async def test_a_retry_is_a_new_job_with_its_own_link_to_the_bytes(bench: Bench) -> None:
    job_id = await bench.job(b"the bytes")
    await bench.tasks.cancel(job_id)
    retry = (await bench.tasks.retry("me", job_id)).job
    assert (retry.retry_of, retry.status, retry.version) == (job_id, JobStatus.QUEUED, 1)
    await bench.files.remove(job_id)
    async with bench.files.open(retry.job_id) as content:
        assert b"".join([chunk async for chunk in content.chunks()]) == b"the bytes"


async def test_while_a_retry_is_open_it_is_the_answer(bench: Bench) -> None:
    job_id = await bench.job()
    await bench.tasks.cancel(job_id)
    first, second = await bench.tasks.retry("me", job_id), await bench.tasks.retry("me", job_id)
    assert (second.job.job_id, second.replayed) == (first.job.job_id, True)
    assert len(await bench.files.orphans(timedelta(seconds=-1))) == 2
    await bench.tasks.cancel(first.job.job_id)
    assert (await bench.tasks.retry("me", job_id)).job.job_id != first.job.job_id


async def test_only_what_failed_or_was_cancelled_can_be_retried(bench: Bench) -> None:
    job_id = await bench.job()
    for _ in range(2):
        with pytest.raises(JobNotRetryable):
            await bench.tasks.retry("me", job_id)
        await bench.tasks.run(job_id)
    await bench.tasks.callback(job_id, SUCCESS)
    with pytest.raises(JobNotRetryable):
        await bench.tasks.retry("me", job_id)


async def test_a_job_without_a_file_can_be_retried() -> None:
    bench = Bench(workflow("report", file=None))
    job = (await bench.tasks.submit("me", parts(ParamPart("workflow", "report")), None)).job
    await bench.tasks.cancel(job.job_id)
    assert (await bench.tasks.retry("me", job.job_id)).job.file is None
    await bench.tasks.close()


async def test_what_was_handed_in_may_be_gone(bench: Bench) -> None:
    job_id = await bench.job()
    await bench.tasks.erase(job_id)
    with pytest.raises(FileGone):
        await bench.tasks.retry("me", job_id)


async def test_an_erased_job_keeps_its_chain_and_nothing_else(bench: Bench) -> None:
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    await bench.tasks.callback(job_id, SUCCESS)
    job = await bench.tasks.erase(job_id)
    assert (job.status, job.salt, job.params, job.result) == (JobStatus.SUCCESS, None, {}, JobResult())
    assert verification.verify(job, job_id, await bench.log.history(job_id)) is None
    with pytest.raises(FileGone):
        async with bench.files.open(job_id):
            pass
    assert await bench.tasks.erase(job_id) == job


async def test_an_unfinished_job_is_cancelled_before_it_is_erased(bench: Bench) -> None:
    job_id = await bench.job()
    erase, stale = bench.log.erase, [StaleJob("x")]

    async def contended(job: Job, line: AuditEvent) -> None:
        if stale:
            raise stale.pop()
        await erase(job, line)

    bench.log.erase = contended  # type: ignore[method-assign]
    assert (await bench.tasks.erase(job_id)).status is JobStatus.CANCELLED
