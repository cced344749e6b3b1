"""Quotas of one client: before the bytes, while they come, and when the row is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from app.domain.errors import OverQuota
from app.domain.models import FilePart, ParamPart
from app.domain.quotas import Quota, Quotas, Unit, Usage
from app.services.quotas import SHORTLY, ClientQuotas
from tests.services.conftest import SECOND, Bench, settle, workflow

HOUR = timedelta(hours=1)
JOBS = Quota(name="jobs", most=2, window=HOUR)
BYTES = Quota(name="bytes", most=20, window=HOUR, unit=Unit.BYTES)
OPEN = Quota(name="unfinished", most=1)


async def refused(bench: Bench, content: bytes = b"bytes", **more: str) -> OverQuota:
    with pytest.raises(OverQuota) as caught:
        await bench.submit(content, **more)
    return caught.value


async def test_so_many_jobs_in_any_window_and_then_the_client_is_told_when_to_come_back() -> None:
    bench = Bench(quotas=Quotas(jobs=JOBS))
    assert [margin.left for margin in (await bench.submit()).margins] == [1]
    bench.clock.move(10 * SECOND)
    assert [margin.left for margin in (await bench.submit()).margins] == [0]
    error = await refused(bench)
    assert error.retry_after == HOUR - 10 * SECOND
    assert [(margin.left, margin.frees_in) for margin in error.margins] == [(0, error.retry_after)]
    assert len(await bench.files.orphans(timedelta(seconds=-1))) == 2
    bench.clock.move(error.retry_after)
    await bench.submit()
    await refused(bench)


async def test_bytes_are_counted_while_they_come() -> None:
    bench = Bench(quotas=Quotas(volume=BYTES))
    await bench.submit(b"x" * 15)
    taken: list[bytes] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            taken.append(b"y" * 3)
            yield taken[-1]

    async def parts() -> AsyncIterator[ParamPart | FilePart]:
        yield ParamPart("topic", "tides")
        yield FilePart("a.txt", endless())

    with pytest.raises(OverQuota) as caught:
        await bench.tasks.submit("me", parts(), None)
    assert len(taken) == 2
    assert caught.value.retry_after == HOUR
    assert len(await bench.files.orphans(timedelta(seconds=-1))) == 1
    assert (await bench.submit(b"x" * 5)).margins[0].left == 0


async def test_what_is_announced_is_refused_before_it_is_read() -> None:
    bench = Bench(quotas=Quotas(volume=BYTES))

    async def never() -> AsyncIterator[ParamPart | FilePart]:
        raise AssertionError
        yield

    with pytest.raises(OverQuota, match="20 bytes within 1:00:00"):
        await bench.tasks.submit("me", never(), None, announced=21)


async def test_work_without_a_file_needs_no_bytes() -> None:
    bench = Bench(workflow(file=None), quotas=Quotas(volume=BYTES))

    async def parts() -> AsyncIterator[ParamPart | FilePart]:
        yield ParamPart("topic", "tides")

    assert (await bench.tasks.submit("me", parts(), None)).margins[0].left == 20


async def test_another_client_has_quotas_of_its_own() -> None:
    bench = Bench(quotas=Quotas(jobs=JOBS))
    job_id = await bench.job()
    await bench.job()
    await bench.tasks.cancel(job_id)
    with pytest.raises(OverQuota):
        await bench.tasks.retry("me", job_id)
    await bench.tasks.retry("you", job_id)


async def test_unfinished_jobs_are_bounded_at_any_time() -> None:
    bench = Bench(quotas=Quotas(unfinished=OPEN))
    job_id = await bench.job()
    assert (await refused(bench)).retry_after == SHORTLY
    await bench.tasks.cancel(job_id)
    await bench.submit()


async def test_the_same_submission_again_is_no_job_more() -> None:
    bench = Bench(quotas=Quotas(jobs=Quota(name="jobs", most=1, window=HOUR)))
    first = await bench.submit(key="k")
    again = await bench.submit(key="k")
    assert (again.job.job_id, again.replayed) == (first.job.job_id, True)
    await refused(bench, key="other")


async def test_of_many_at_once_only_as_many_as_the_quota_has_become_jobs() -> None:
    bench = Bench(quotas=Quotas(jobs=JOBS))
    gate, waiting = asyncio.Event(), 0

    async def parts() -> AsyncIterator[ParamPart | FilePart]:
        async def chunks() -> AsyncIterator[bytes]:
            nonlocal waiting
            waiting += 1
            await gate.wait()
            yield b"x"

        yield FilePart("a.txt", chunks())

    submitting = [asyncio.create_task(bench.tasks.submit("me", parts(), None)) for _ in range(6)]
    await settle(lambda: waiting == 6)
    gate.set()
    outcomes = await asyncio.gather(*submitting, return_exceptions=True)
    assert sum(isinstance(outcome, OverQuota) for outcome in outcomes) == 4
    assert len(await bench.files.orphans(timedelta(seconds=-1))) == 2


async def test_a_quota_that_frees_itself_meanwhile_says_come_back_at_once(bench: Bench) -> None:
    class Meter:
        async def usage(self, *_: object) -> Usage:
            return Usage()

        async def last_of(self, *_: object) -> None:
            return None

        async def knows(self, *_: object) -> bool:
            return False

    quotas = ClientQuotas(Meter(), bench.clock, Quotas(jobs=JOBS, volume=BYTES))
    assert (await quotas.refusal("me", 1)).retry_after == SECOND
    assert (await quotas.refusal("me", 21)).retry_after == HOUR  # larger than all that there is


async def test_without_quotas_nothing_is_asked(bench: Bench) -> None:
    asked: list[object] = []

    async def usage(*_: object) -> Usage:
        asked.append(1)
        return Usage()

    bench.tasks._quotas._meter.usage = usage  # type: ignore[method-assign]
    submitted = await bench.submit()
    assert (asked, submitted.margins) == ([], ())


def test_an_empty_set_of_quotas_is_false() -> None:
    assert [bool(Quotas()), bool(Quotas(volume=BYTES))] == [False, True]
