"""Leases are kept for as long as the loop ticks, and not a moment for what is no longer ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import pytest

from app.domain.errors import JobNotFound, StoreUnavailable
from app.domain.models import Job, JobId
from app.services.leases import LeaseKeeper
from tests.services.conftest import START, Bench

MOMENT = timedelta(milliseconds=20)


class Agenda:
    """Remembers renewals; says that what is in `gone` is no longer held."""

    def __init__(self) -> None:
        self.renewed: list[datetime] = []
        self.gone: set[JobId] = set()
        self.away = False

    async def renew(self, attempts: Mapping[JobId, int], until: datetime) -> set[JobId]:
        if self.away:
            raise StoreUnavailable("away")
        self.renewed.append(until)
        return set(attempts) - self.gone

    async def due(self, at: datetime, limit: int, workflows: Collection[str]) -> list[JobId]:
        return []

    async def startable(self, at: datetime, limit: int, rooms: Mapping[str, int], **_: object) -> list[JobId]:
        return []

    async def now(self) -> datetime:
        return START


async def keeper(bench: Bench, agenda: Agenda, lease: timedelta = timedelta(seconds=1)) -> LeaseKeeper:
    return LeaseKeeper(agenda, bench.log, bench.clock, lease, MOMENT)


async def test_a_held_lease_is_renewed_for_its_whole_length(bench: Bench) -> None:
    agenda = Agenda()
    leases = await keeper(bench, agenda)
    async with leases.hold((await bench.submit()).job):
        await asyncio.sleep(0.2)
    count = len(agenda.renewed)
    await asyncio.sleep(0.1)
    leases.close()
    assert count >= 3
    assert len(agenda.renewed) <= count + 1
    assert set(agenda.renewed) == {START + timedelta(seconds=1)}


async def test_a_lost_lease_cancels_its_work(bench: Bench) -> None:
    agenda = Agenda()
    leases = await keeper(bench, agenda)
    job = (await bench.submit()).job
    await bench.tasks.cancel(job.job_id)

    async def work() -> bool:
        async with leases.hold(job) as hold:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                return hold.lost
            return False

    agenda.gone = {job.job_id}
    assert await asyncio.wait_for(asyncio.create_task(work()), 3)
    leases.close()


async def test_a_lease_on_a_job_that_no_longer_exists_is_lost(bench: Bench) -> None:
    leases = await keeper(bench, Agenda())
    job = (await bench.submit()).job
    assert await leases._handed_over(job.job_id, job.attempt) is False

    async def missing(_: JobId) -> Job:
        raise JobNotFound("gone")

    bench.log.get = missing  # type: ignore[method-assign]
    assert await leases._handed_over(job.job_id, job.attempt) is False

    async def away(_: JobId) -> Job:
        raise StoreUnavailable("away")

    bench.log.get = away  # type: ignore[method-assign]
    assert await leases._handed_over(job.job_id, job.attempt) is True


async def test_a_database_that_is_away_costs_no_work(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    agenda = Agenda()
    agenda.away = True
    leases = await keeper(bench, agenda)
    async with leases.hold((await bench.submit()).job) as hold:
        await asyncio.sleep(0.1)
        agenda.away = False
        await asyncio.sleep(0.1)
        assert not hold.lost
    leases.close()
    assert agenda.renewed
    assert "leases not renewed: away" in caplog.text


async def test_a_loop_that_is_stuck_for_a_leases_length_is_no_longer_vouched_for(bench: Bench) -> None:
    agenda = Agenda()
    leases = await keeper(bench, agenda, lease=timedelta(milliseconds=100))
    async with leases.hold((await bench.submit()).job):
        time.sleep(0.5)  # noqa: ASYNC251 - blocking the loop is the point
        count = len(agenda.renewed)
    leases.close()
    assert count <= 6


async def test_an_older_hold_of_the_same_job_does_not_end_the_newer_one(bench: Bench) -> None:
    agenda = Agenda()
    leases = await keeper(bench, agenda)
    job = (await bench.submit()).job
    async with leases.hold(job):
        async with leases.hold(job):
            pass
        newer = leases.hold(job)
        await newer.__aenter__()
    await asyncio.sleep(0.1)
    assert agenda.renewed
    await newer.__aexit__(None, None, None)
    leases.close()


async def test_a_keeper_that_was_never_used_closes_at_once(bench: Bench) -> None:
    (await keeper(bench, Agenda())).close()


def test_a_keeper_outlived_by_its_loop_ends_by_itself() -> None:
    agenda = Agenda()

    async def hold_for_ever() -> LeaseKeeper:
        bench = Bench()
        leases = await keeper(bench, agenda)
        await leases.hold((await bench.submit()).job).__aenter__()
        return leases

    leases = asyncio.run(hold_for_ever())
    assert leases._thread is not None
    leases._thread.join(3)
    assert not leases._thread.is_alive()


async def test_a_hold_that_is_over_is_no_longer_lost(bench: Bench) -> None:
    leases = await keeper(bench, Agenda())
    async with leases.hold((await bench.submit()).job) as hold:
        pass
    hold.lose()
    await asyncio.sleep(0)
    assert not hold.lost
    leases.close()
