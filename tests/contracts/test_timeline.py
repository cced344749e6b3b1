"""What every Timeline promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.record_ports import Timeline, Written
from app.infrastructure.memory_job_log import MemoryJobLogStore
from app.infrastructure.memory_jobs import MemoryJobs
from app.infrastructure.memory_timeline import MemoryTimeline
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.timeline_sql import SqlTimeline
from tests.contracts.sql_fixtures import new_database
from tests.jobs import AT, DELIVERED, STARTED, accepted, history

SECOND = timedelta(seconds=1)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def filled(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Timeline, list[Written]]]:
    """A timeline over three jobs of the same second, and what it ought to tell."""
    steps = [one for _ in range(3) for one in _life()]
    wanted = sorted(Written(line.at, str(line.job_id), line.version, line.hash) for _, line in steps)
    if request.param == "memory":
        memory = MemoryJobs()
        for job, line in steps:
            log = MemoryJobLogStore(memory, keep_notices=False)
            await (log.add(job, line) if line.version == 1 else log.record(job, line))
        yield MemoryTimeline(memory), wanted
        return
    from app.infrastructure.job_log_sql import SqlJobLogStore  # noqa: PLC0415 - beside its database

    with new_database(request.param, request, tmp_path) as url:
        database = SqlDatabase(url)
        for job, line in steps:
            store = SqlJobLogStore(database, keep_notices=False)
            await (store.add(job, line) if line.version == 1 else store.record(job, line))
        yield SqlTimeline(database), wanted
        await database.close()


def _life():
    job, line = accepted()
    return [(job, line), *history(job, STARTED, DELIVERED, at=AT + SECOND)]


async def test_it_tells_the_lines_from_a_time_on_in_order(filled: tuple[Timeline, list[Written]]) -> None:
    timeline, wanted = filled
    assert await timeline.written(AT, 100) == wanted
    assert await timeline.written(AT + SECOND, 100) == wanted[3:]
    assert await timeline.written(AT + 9 * SECOND, 100) == []


async def test_what_does_not_fit_follows_behind_the_last_one(filled: tuple[Timeline, list[Written]]) -> None:
    timeline, wanted = filled
    found: list[Written] = []
    while page := await timeline.written(AT, 2, found[-1] if found else None):
        found += page
    assert found == wanted
