"""What JobLogStore and JobAgenda promise about jobs that share a subject, and JobSearch about outcomes."""

from __future__ import annotations

import asyncio
import itertools
import sys
from asyncio.subprocess import PIPE
from datetime import timedelta
from pathlib import Path

from app.domain.errors import DuplicateJob, JobNotFound, StaleJob, SubjectFull
from app.domain.lifecycle import Postponed
from app.domain.models import Job, JobId
from app.domain.protocols import Mark, Standing
from app.infrastructure.sql_database import SqlDatabase
from tests.contracts.sql_fixtures import Stores, refusal, sql_stores
from tests.jobs import AT, CANCELLED, COMPLETED, DELIVERED, ERASED, FAILED, NOTED, STARTED, accepted, after

ROOT = Path(__file__).parents[2]
ROOMS = {"n8n_notion": 10}
LATER = AT + timedelta(days=2)
SECOND = timedelta(seconds=1)


async def line_of(stores: Stores, number: int, subject: str | None = "ada", workflow: str = "n8n_notion") -> list[Job]:
    """Jobs about one subject, the oldest first."""
    return [
        await stores.added(subject=subject, workflow=workflow, created_at=AT + place * SECOND)
        for place in range(number)
    ]


async def begun(stores: Stores, job: Job, places: int = 1) -> Job:
    """The job after a worker took it up with a place of its subject."""
    started, line = after(job, STARTED, at=AT + timedelta(hours=1))
    await stores.log.record(started, line, places)
    return started


async def startable(stores: Stores, **more: int) -> list[JobId]:
    return await stores.agenda.startable(LATER, 10, ROOMS, new_before=LATER, places=more or None)


async def test_a_job_begins_only_when_the_older_ones_of_its_subject_have_begun_and_there_is_a_place(
    stores: Stores,
) -> None:
    first, second, third = await line_of(stores, 3)
    assert isinstance(await refusal(begun(stores, second, places=1)), SubjectFull)
    await begun(stores, first, places=2)
    assert isinstance(await refusal(begun(stores, third, places=2)), SubjectFull)
    await begun(stores, second, places=2)
    assert isinstance(await refusal(begun(stores, third, places=2)), SubjectFull)


async def test_nothing_is_stored_of_a_job_that_may_not_begin_yet(stores: Stores) -> None:
    _, second = await line_of(stores, 2)
    await refusal(begun(stores, second))
    assert await stores.log.get(second.job_id) == second
    assert len(await stores.log.history(second.job_id)) == 1


async def test_a_place_is_held_from_the_start_to_the_end_whatever_happens_between(stores: Stores) -> None:
    for events in ([], [DELIVERED], [Postponed(delay=timedelta(minutes=1))]):
        first, second = await line_of(stores, 2, subject=f"after {len(events)} {events}")
        held = await stores.happened(await begun(stores, first), *events)
        assert isinstance(await refusal(begun(stores, second)), SubjectFull)
        await stores.happened(held, CANCELLED)
        await begun(stores, second)


async def test_every_end_frees_the_place(stores: Stores) -> None:
    jobs = await line_of(stores, 4)
    for job, end in zip(jobs, (COMPLETED, FAILED, CANCELLED, None), strict=True):
        started = await begun(stores, job)
        if end is not None:
            await stores.happened(started, end)


async def test_other_subjects_and_other_workflows_have_places_of_their_own(stores: Stores) -> None:
    for subject, workflow in (("ada", "n8n_notion"), ("bob", "n8n_notion"), ("ada", "report")):
        (job,) = await line_of(stores, 1, subject, workflow)
        await begun(stores, job)


async def test_a_start_from_an_old_version_is_stale_and_one_of_no_job_finds_none(stores: Stores) -> None:
    (job,) = await line_of(stores, 1)
    await stores.happened(job, NOTED)
    assert isinstance(await refusal(begun(stores, job)), StaleJob)
    unknown, _ = accepted(subject="ada")
    assert isinstance(await refusal(begun(stores, unknown)), JobNotFound)


async def test_of_all_that_begin_at_once_only_as_many_as_there_are_places_do(stores: Stores) -> None:
    jobs = await line_of(stores, 6)
    told = await asyncio.gather(*(begun(stores, job, places=2) for job in jobs), return_exceptions=True)
    assert [type(one) for one in told] == [Job, Job, SubjectFull, SubjectFull, SubjectFull, SubjectFull]


async def test_startable_gives_the_oldest_of_a_subject_and_never_one_whose_subject_is_full(stores: Stores) -> None:
    first, second, third = await line_of(stores, 3)
    other = await stores.added(subject="bob", created_at=AT + SECOND / 2)
    assert await startable(stores) == [first.job_id, other.job_id]
    assert await startable(stores, n8n_notion=2) == [first.job_id, other.job_id, second.job_id]
    started = await begun(stores, first)
    assert await startable(stores) == [other.job_id]
    assert await startable(stores, n8n_notion=2, report=7) == [other.job_id, second.job_id]
    await stores.happened(started, COMPLETED)
    assert await startable(stores) == [other.job_id, second.job_id]
    await stores.happened(second, CANCELLED)
    assert await startable(stores) == [other.job_id, third.job_id]


async def test_startable_gives_a_started_job_that_is_queued_again_although_its_subject_is_full(stores: Stores) -> None:
    first, _ = await line_of(stores, 2)
    again = await stores.happened(await begun(stores, first), Postponed(delay=timedelta(0)))
    assert await startable(stores) == [again.job_id]


async def test_jobs_without_a_subject_wait_for_nobody(stores: Stores) -> None:
    jobs = await line_of(stores, 3, subject=None)
    assert await startable(stores) == [job.job_id for job in jobs]


RACE = """
import asyncio, sys, time
from app.domain import lifecycle
from app.domain.errors import Race
from app.infrastructure.job_agenda_sql import SqlJobAgenda
from app.infrastructure.job_log_sql import SqlJobLogStore
from app.infrastructure.sql_database import SqlDatabase
from tests.contracts.test_subjects import LATER
from tests.jobs import COMPLETED, STARTED

async def main(url):
    database = SqlDatabase(url)
    log, agenda = SqlJobLogStore(database, keep_notices=False), SqlJobAgenda(database)
    async def work(job):
        try:
            job, line = lifecycle.advance(job, STARTED, LATER)
            await log.record(job, line, 2)
            print(job.subject, time.monotonic_ns(), 1, flush=True)
            await asyncio.sleep(0.002)
            print(job.subject, time.monotonic_ns(), -1, flush=True)
            await log.record(*lifecycle.advance(job, COMPLETED, LATER))
        except Race:
            pass
    sys.stdin.readline()
    while ready := await agenda.startable(LATER, 6, {"n8n_notion": 6}, new_before=LATER, places={"n8n_notion": 2}):
        await asyncio.gather(*[work(await log.get(job_id)) for job_id in ready])
    await database.close()

asyncio.run(main(sys.argv[1]))
"""


async def test_processes_that_start_jobs_of_the_same_subjects_at_once_run_no_more_than_there_are_places(
    database: SqlDatabase, database_url: str
) -> None:
    stores = sql_stores(database)
    for subject in ("ada", "bob", "cyd"):
        await line_of(stores, 8, subject)
    command = [sys.executable, "-W", "error", "-c", RACE, database_url]
    workers = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE) for _ in range(2)]
    told = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    assert [worker.returncode for worker in workers] == [0, 0]
    marks = [line.split() for out, _ in told for line in out.decode().splitlines()]
    for subject in ("ada", "bob", "cyd"):
        steps = sorted((int(at), int(step)) for about, at, step in marks if about == subject)
        under_way = list(itertools.accumulate(step for _, step in steps))
        assert (len(steps), max(under_way)) == (16, 2)  # each began and ended once, and both places were used


async def test_standing_is_the_newest_success_the_newest_failure_and_the_unfinished_job_of_a_key(
    stores: Stores,
) -> None:
    assert await stores.search.standing("k") == Standing()
    for number in range(3):
        old = await stores.added(STARTED, COMPLETED, dedup_key="k", created_at=AT + number * SECOND)
    failed = await stores.added(STARTED, FAILED, dedup_key="k", created_at=AT + 5 * SECOND)
    await stores.added(CANCELLED, dedup_key="k", created_at=AT + 6 * SECOND)
    await stores.added(STARTED, COMPLETED, dedup_key="other", created_at=AT + 7 * SECOND)
    now = await stores.added(dedup_key="k", created_at=AT + 8 * SECOND)
    assert old.completed_at is not None
    assert failed.completed_at is not None
    assert await stores.search.standing("k") == Standing(
        success=Mark(job_id=old.job_id, version=old.version, at=old.completed_at),
        failure=Mark(job_id=failed.job_id, version=failed.version, at=failed.completed_at),
        unfinished=now.job_id,
    )


async def test_an_erased_job_stands_for_no_outcome(stores: Stores) -> None:
    job = await stores.added(STARTED, COMPLETED, dedup_key="k")
    await stores.log.erase(*after(job, ERASED))
    assert await stores.search.standing("k") == Standing()


async def test_duplicate_job_names_the_one_that_made_the_outcome_since_then(stores: Stores) -> None:
    first = await stores.added(dedup_key="k")
    error = await refusal(stores.log.add(*accepted(dedup_key="k"), made_since=AT))
    assert isinstance(error, DuplicateJob)
    assert error.job_id == first.job_id
    made = await stores.happened(first, STARTED, COMPLETED)
    assert made.completed_at is not None
    job, line = accepted(dedup_key="k")
    error = await refusal(stores.log.add(job, line, made_since=made.completed_at - SECOND))
    assert isinstance(error, DuplicateJob)
    assert error.job_id == made.job_id
    assert [found async for found in stores.log.walk(job.job_id)] == []
    await stores.log.add(job, line, made_since=made.completed_at)
    assert await stores.log.history(job.job_id) == [line]


async def test_a_job_without_a_key_or_of_another_outcome_is_added_whatever_was_made(stores: Stores) -> None:
    await stores.added(STARTED, COMPLETED, dedup_key="k")
    await stores.added(STARTED, FAILED, dedup_key="failed")
    for key in (None, "other", "failed"):
        await stores.log.add(*accepted(dedup_key=key), made_since=AT - SECOND)


async def test_of_many_that_ask_for_one_outcome_while_it_is_being_made_none_makes_it_again(stores: Stores) -> None:
    first = await stores.added(STARTED, dedup_key="k")
    since = AT - timedelta(hours=1)
    asked = [stores.log.add(*accepted(dedup_key="k"), made_since=since) for _ in range(40)]
    asked[20:20] = [stores.happened(first, COMPLETED)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    named = {one.job_id for one in told if isinstance(one, DuplicateJob)}
    assert (named, sum(isinstance(one, DuplicateJob) for one in told)) == ({first.job_id}, 40)
