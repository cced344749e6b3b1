"""Notices, housekeeping and the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.domain import audit, verification
from app.domain.errors import DeliveryTrouble, FileGone, JobNotFound, StaleJob, StoreUnavailable
from app.domain.lifecycle import Periods, TroubleKind
from app.domain.models import AuditEvent, Job, JobId
from app.services.clock import DatabaseClock
from app.services.housekeeping import Housekeeping
from app.services.notices import NoticeService
from app.services.retention import Retention
from tests.services.conftest import SECOND, SUCCESS, Bench


class Address:
    """Where notices go; refuses the first `refusals`."""

    def __init__(self, refusals: int = 0, wish: timedelta | None = None) -> None:
        self.refusals, self.wish, self.told = refusals, wish, list[JobId]()

    async def tell(self, job: Job, at: datetime) -> None:
        if self.refusals:
            self.refusals -= 1
            raise DeliveryTrouble(TroubleKind.UNAVAILABLE, "503", self.wish)
        self.told.append(job.job_id)


def notices(bench: Bench, address: Address) -> NoticeService:
    return NoticeService(bench.notices, bench.log, address, bench.clock, Periods())


async def finished(bench: Bench) -> JobId:
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    await bench.tasks.callback(job_id, SUCCESS)
    return job_id


async def test_every_end_is_told_once(bench: Bench) -> None:
    address = Address()
    service = notices(bench, address)
    job_id = await finished(bench)
    assert await service.sweep() == 1
    assert await service.sweep() == 0
    assert address.told == [job_id]


async def test_a_notice_that_is_not_taken_is_told_again_by_the_schedule(bench: Bench) -> None:
    address = Address(refusals=1)
    service = notices(bench, address)
    job_id = await finished(bench)
    await service.sweep()
    assert await service.sweep() == 0
    bench.clock.move(7 * SECOND)
    await service.sweep()
    assert address.told == [job_id]


@pytest.mark.parametrize(
    ("wish", "kept"),
    [(SECOND, 7 * SECOND), (timedelta(minutes=3), timedelta(minutes=3)), (timedelta(days=9), timedelta(days=1))],
)
async def test_an_address_that_asks_for_more_time_gets_it_up_to_a_day(
    bench: Bench, wish: timedelta, kept: timedelta
) -> None:
    address = Address(refusals=1, wish=wish)
    service = notices(bench, address)
    job_id = await finished(bench)
    await service.sweep()
    bench.clock.move(kept - 4 * SECOND)
    assert await service.sweep() == 0
    bench.clock.move(4 * SECOND)
    assert await service.sweep() == 1
    assert address.told == [job_id]


async def test_a_notice_that_nobody_takes_is_given_up_aloud(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    address = Address(refusals=99)
    service = notices(bench, address)
    await finished(bench)
    for _ in range(9):
        await service.sweep()
        bench.clock.move(timedelta(hours=7))
    assert await service.sweep() == 0
    assert 99 - address.refusals == 1 + len(Periods().schedule)  # like a delivery: at once, and after each pause
    assert "notice given up" in caplog.text


async def test_a_notice_is_taken_by_one_of_two(bench: Bench) -> None:
    address = Address()
    await finished(bench)
    (notice,) = await bench.notices.due(bench.clock(), 10)
    await notices(bench, address).sweep()
    await notices(bench, address)._tell(notice)
    assert len(address.told) == 1


async def test_a_notice_of_a_job_that_is_gone_is_dropped(bench: Bench) -> None:
    address = Address()
    await finished(bench)

    async def gone(_: JobId) -> Job:
        raise JobNotFound("gone")

    bench.log.get = gone  # type: ignore[method-assign]
    service = notices(bench, address)
    await service.sweep()
    assert (address.told, await service.sweep()) == ([], 0)


def keeping(bench: Bench, keep: timedelta | None, orphan_age: timedelta = timedelta(hours=1)) -> Housekeeping:
    return Housekeeping(bench.log, bench.search, bench.files, bench.clock, keep, orphan_age)


async def test_a_file_goes_when_its_time_is_over_and_the_record_says_so(bench: Bench) -> None:
    job_id = await finished(bench)
    keeper = keeping(bench, timedelta(days=30))
    assert await keeper.sweep() == 0
    bench.clock.move(timedelta(days=31))
    assert await keeper.sweep() == 1
    assert await keeper.sweep() == 0
    job = await bench.get(job_id)
    assert (job.file_removed_at, (await bench.types(job_id))[-1]) == (bench.clock(), "Noted")
    with pytest.raises(FileGone):
        async with bench.files.open(job_id):
            pass


async def test_files_may_be_kept_for_ever(bench: Bench) -> None:
    await finished(bench)
    bench.clock.move(timedelta(days=3650))
    assert await keeping(bench, None).sweep() == 0


async def test_a_job_is_erased_when_its_time_is_over_and_its_chain_stays(bench: Bench) -> None:
    first, second = await finished(bench), await bench.job()
    await bench.tasks.cancel(second)
    retention = Retention(bench.agenda, bench.tasks.erase, bench.clock, timedelta(days=30), {"report": SECOND})
    waiting = await bench.job()
    await bench.tasks.run(waiting)
    bench.clock.move(timedelta(days=29))
    assert await retention.sweep() == 0
    bench.clock.move(timedelta(days=2))
    assert await retention.sweep() == 2
    assert await retention.sweep() == 0
    for job_id in (first, second):
        job, lines = await bench.get(job_id), await bench.log.history(job_id)
        assert (job.salt, job.client, job.params, {line.detail for line in lines}) == (None, "", {}, {None})
        assert verification.verify(job, job_id, [audit.stored(line) for line in lines]) is None
    assert (await bench.get(waiting)).salt is not None


async def test_a_workflow_may_keep_its_jobs_for_another_time(bench: Bench) -> None:
    job_id = await finished(bench)
    bench.clock.move(timedelta(days=31))
    longer = Retention(bench.agenda, bench.tasks.erase, bench.clock, SECOND, {"n8n_notion": timedelta(days=60)})
    assert await longer.sweep() == 0
    shorter = Retention(bench.agenda, bench.tasks.erase, bench.clock, None, {"n8n_notion": timedelta(days=30)})
    assert await shorter.sweep() == 1
    assert (await bench.get(job_id)).salt is None


async def test_somebody_faster_does_not_stop_the_others(bench: Bench) -> None:
    jobs = [await finished(bench), await finished(bench)]
    record, stale = bench.log.record, [StaleJob("x")]

    async def contended(job: Job, line: AuditEvent) -> None:
        if stale:
            raise stale.pop()
        await record(job, line)

    bench.log.record = contended  # type: ignore[method-assign]
    bench.clock.move(timedelta(days=31))
    await keeping(bench, timedelta(days=30)).sweep()
    assert sorted([(await bench.get(job_id)).file_removed_at is None for job_id in jobs]) == [False, True]


async def test_bytes_that_no_job_names_are_removed_and_the_others_stay(bench: Bench) -> None:
    job_id = await bench.job()

    async def in_doubt(_job: Job, _line: AuditEvent, *_: object) -> None:
        raise StoreUnavailable("x")

    add, bench.log.add = bench.log.add, in_doubt  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await bench.submit()
    bench.log.add = add  # type: ignore[method-assign]
    assert await keeping(bench, None, orphan_age=timedelta(seconds=-1)).sweep() == 1
    assert await bench.files.orphans(timedelta(seconds=-1)) == [job_id]


async def test_bytes_that_no_job_names_are_found_among_any_number_of_others(
    bench: Bench,
) -> None:
    jobs = [await bench.job() for _ in range(5)]
    await bench.files.link(stray := JobId(UUID(int=max(jobs).int + 1)), of=jobs[0])
    keeper = Housekeeping(bench.log, bench.search, bench.files, bench.clock, None, timedelta(seconds=-1), looked_up=2)
    assert [await keeper.sweep() for _ in range(4)] == [0, 0, 1, 0]
    assert stray not in await bench.files.orphans(timedelta(seconds=-1))


async def test_the_clock_is_the_databases_and_runs_on_by_itself() -> None:
    class Agenda:
        async def now(self) -> datetime:
            return datetime(2030, 1, 1, tzinfo=UTC)

    clock = DatabaseClock()
    assert abs(clock() - datetime.now(UTC)) < SECOND
    await clock.measure(Agenda())  # type: ignore[arg-type]
    first = clock()
    time.sleep(0.01)  # noqa: ASYNC251 - real time must pass
    assert datetime(2030, 1, 1, tzinfo=UTC) <= first < clock() < datetime(2030, 1, 1, 0, 0, 5, tzinfo=UTC)
