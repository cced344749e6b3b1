"""What every UsageMeter promises, and that every JobLogStore holds a client to its allowance."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app.domain.errors import DuplicateJob, OverQuota
from app.domain.quotas import Allowance, Quota, Quotas, Unit, Usage
from app.infrastructure.job_log_sql import SqlJobLogStore
from app.infrastructure.sql_database import SqlDatabase
from tests.contracts.sql_fixtures import Stores, refusal
from tests.jobs import AT, COMPLETED, STARTED, accepted, receipt

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
JOBS = Quota(name="jobs", most=3, window=MINUTE)
BYTES = Quota(name="bytes", most=100, window=2 * MINUTE, unit=Unit.BYTES)
OPEN = Quota(name="unfinished", most=2)
ALL = Quotas(jobs=JOBS, volume=BYTES, unfinished=OPEN)


async def some(stores: Stores) -> None:
    for seconds, size in ((0, 10), (30, 20), (60, 30)):
        await stores.added(created_at=AT + seconds * SECOND, file=receipt(size=size))
    await stores.added(STARTED, COMPLETED, created_at=AT + 61 * SECOND, file=None)
    await stores.added(client="bob", created_at=AT + 61 * SECOND)


async def test_usage_is_what_the_client_handed_in_within_each_window(stores: Stores) -> None:
    await some(stores)
    usage = stores.usage.usage
    assert await usage("ada", ALL, AT + 61 * SECOND) == Usage(jobs=3, volume=60, unfinished=3)
    assert await usage("ada", ALL, AT + 120 * SECOND) == Usage(jobs=1, volume=50, unfinished=3)
    assert await usage("ada", Quotas(volume=BYTES), AT + 61 * SECOND) == Usage(volume=60)
    assert await usage("eve", ALL, AT) == Usage()


async def test_last_of_is_the_job_that_must_leave_the_window(stores: Stores) -> None:
    await some(stores)
    at, last_of = AT + 61 * SECOND, stores.usage.last_of
    assert await last_of("ada", BYTES, at, 1) == AT
    assert await last_of("ada", BYTES, at, 11) == AT + 30 * SECOND
    assert await last_of("ada", BYTES, at, 61) is None
    assert await last_of("ada", JOBS, at, 1) == AT + 30 * SECOND
    assert await last_of("ada", JOBS, at, 2) == AT + 60 * SECOND


async def test_knows_the_keys_of_a_client(stores: Stores) -> None:
    await stores.added(idempotency_key="k")
    assert await stores.usage.knows("ada", "k")
    assert not await stores.usage.knows("bob", "k")
    assert not await stores.usage.knows("ada", "other")
    await stores.added(dedup_key="d")
    await refusal(stores.log.add(*accepted(dedup_key="d", client="bob", idempotency_key="k")))
    assert await stores.usage.knows("bob", "k")


async def test_of_many_added_at_once_only_as_many_as_fit_are_stored(stores: Stores) -> None:
    within = Allowance(quotas=Quotas(jobs=JOBS), at=AT)
    logs = [
        stores.log,
        SqlJobLogStore(SqlDatabase(_url(stores)), keep_notices=False) if stores.database else stores.quiet,
    ]
    adding = [logs[number % 2].add(*accepted(), within=within) for number in range(12)]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(one) for one in outcomes if one] == [OverQuota] * 9
    assert len((await stores.search.page()).jobs) == 3
    if isinstance(logs[1], SqlJobLogStore) and stores.database:
        await logs[1]._database.close()


async def test_bytes_and_unfinished_jobs_bound_what_is_stored_too(stores: Stores) -> None:
    full = Allowance(quotas=Quotas(volume=BYTES), at=AT)
    await stores.log.add(*accepted(file=receipt(size=60)), within=full)
    assert isinstance(await refusal(stores.log.add(*accepted(file=receipt(size=41)), within=full)), OverQuota)
    await stores.log.add(*accepted(file=receipt(size=40)), within=full)
    await stores.log.add(*accepted(file=None), within=full)
    busy = Allowance(quotas=Quotas(unfinished=OPEN), at=AT)
    assert isinstance(await refusal(stores.log.add(*accepted(), within=busy)), OverQuota)
    await stores.log.add(*accepted(client="bob"), within=busy)


async def test_a_job_that_exists_is_told_also_where_the_quota_is_used_up(stores: Stores) -> None:
    within = Allowance(quotas=Quotas(jobs=Quota(name="jobs", most=1, window=MINUTE)), at=AT)
    job, line = accepted(idempotency_key="k")
    await stores.log.add(job, line, within=within)
    error = await refusal(stores.log.add(*accepted(idempotency_key="k"), within=within))
    assert isinstance(error, DuplicateJob)
    assert error.job_id == job.job_id


def _url(stores: Stores) -> str:
    assert stores.database is not None
    return stores.database.engine.sql.url.render_as_string(hide_password=False)
