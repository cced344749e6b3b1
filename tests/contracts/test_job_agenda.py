"""What every JobAgenda promises."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from app.domain import verification
from app.domain.lifecycle import Postponed
from app.domain.models import Job, JobId, new_job_id
from tests.contracts.sql_fixtures import Stores
from tests.jobs import AT, CANCELLED, COMPLETED, DELIVERED, ERASED, FAILED, LEASE, SOON, STARTED, after

MINE = ["n8n_notion"]
ROOMS = {"n8n_notion": 10}
LATER = AT + timedelta(days=2)
POSTPONED = Postponed(delay=timedelta(minutes=1))
SECOND = timedelta(seconds=1)


def ids(jobs: Iterable[Job]) -> list[JobId]:
    return [job.job_id for job in jobs]


async def test_due_gives_processing_and_waiting_jobs_the_longest_due_first(stores: Stores) -> None:
    waiting = await stores.added(STARTED, DELIVERED)
    processing = await stores.added(STARTED)
    for events in ([], [STARTED, POSTPONED], [CANCELLED], [FAILED], [STARTED, COMPLETED]):
        await stores.added(*events)
    assert await stores.agenda.due(LATER, 10, MINE) == ids([processing, waiting])


async def test_due_leaves_out_what_is_due_later(stores: Stores) -> None:
    job = await stores.added(STARTED)
    assert job.due_at == AT + LEASE
    assert await stores.agenda.due(AT + LEASE - timedelta(microseconds=1), 10, MINE) == []
    assert await stores.agenda.due(AT + LEASE, 10, MINE) == ids([job])


async def test_due_gives_at_most_limit_jobs(stores: Stores) -> None:
    jobs = [await stores.added(STARTED, created_at=AT + number * SECOND) for number in range(5)]
    assert await stores.agenda.due(LATER, 3, MINE) == ids(jobs[:3])


async def test_due_gives_jobs_of_these_workflows_only(stores: Stores) -> None:
    await stores.added(STARTED, workflow="n8n_notion")
    report = await stores.added(STARTED, workflow="report")
    assert await stores.agenda.due(LATER, 10, ["report", "other"]) == ids([report])
    assert await stores.agenda.due(LATER, 10, []) == []


async def test_startable_gives_queued_jobs_the_longest_due_first(stores: Stores) -> None:
    again = await stores.added(STARTED, POSTPONED)
    new = await stores.added(created_at=AT + 5 * SECOND)
    newer = await stores.added(created_at=AT + 600 * SECOND)
    for events in ([STARTED], [STARTED, DELIVERED], [CANCELLED], [FAILED]):
        await stores.added(*events)
    assert await stores.agenda.startable(LATER, 10, ROOMS, new_before=LATER) == ids([new, again, newer])
    assert await stores.agenda.startable(LATER, 2, ROOMS, new_before=LATER) == ids([new, again])


async def test_startable_leaves_out_what_is_due_later(stores: Stores) -> None:
    job = await stores.added(STARTED, POSTPONED)
    assert job.due_at is not None
    assert await stores.agenda.startable(job.due_at - timedelta(microseconds=1), 10, ROOMS, new_before=LATER) == []
    assert await stores.agenda.startable(job.due_at, 10, ROOMS, new_before=LATER) == ids([job])


async def test_startable_gives_never_started_jobs_only_when_created_before_new_before(stores: Stores) -> None:
    old = await stores.added(created_at=AT)
    await stores.added(created_at=AT + SECOND)
    again = await stores.added(STARTED, POSTPONED, created_at=AT + 10 * SECOND)
    assert await stores.agenda.startable(LATER, 10, ROOMS, new_before=AT + SECOND) == ids([old, again])


async def test_startable_leaves_out_never_started_jobs_altogether_when_new_before_is_none(stores: Stores) -> None:
    await stores.added()
    again = await stores.added(STARTED, POSTPONED)
    assert await stores.agenda.startable(LATER, 10, ROOMS, new_before=None) == ids([again])


async def test_startable_gives_of_each_workflow_as_many_as_there_is_room_for(stores: Stores) -> None:
    mine = [await stores.added(created_at=AT + number * SECOND) for number in range(4)]
    halves = [AT + (10 * number + 0.5) * SECOND for number in range(3)]
    reports = [await stores.added(workflow="report", created_at=half) for half in halves]
    startable = stores.agenda.startable
    assert await startable(LATER, 10, {"n8n_notion": 2, "report": 1}, new_before=LATER) == ids(
        [mine[0], reports[0], mine[1]]
    )
    assert await startable(LATER, 2, {"n8n_notion": 1, "report": 9}, new_before=LATER) == ids([mine[0], reports[0]])
    assert await startable(LATER, 9, {"n8n_notion": 0, "report": 1}, new_before=LATER, without=ids(reports[:1])) == ids(
        reports[1:2]
    )
    assert await startable(LATER, 9, {}, new_before=LATER) == []


async def test_as_many_workflows_as_there_are_can_be_asked_about(stores: Stores) -> None:
    job = await stores.added(STARTED, workflow="w777")
    again = await stores.added(STARTED, POSTPONED, workflow="w3")
    names = [f"w{number}" for number in range(1000)]
    assert await stores.agenda.due(LATER, 10, names) == [job.job_id]
    assert await stores.agenda.startable(LATER, 10, dict.fromkeys(names, 1), new_before=LATER) == [again.job_id]


async def test_startable_gives_none_of_without(stores: Stores) -> None:
    jobs = [await stores.added(created_at=AT + number * SECOND) for number in range(5)]
    without = [job.job_id for job in jobs[:2]]
    assert await stores.agenda.startable(LATER, 2, ROOMS, new_before=LATER, without=without) == ids(jobs[2:4])


async def test_startable_gives_jobs_of_these_workflows_only(stores: Stores) -> None:
    await stores.added()
    report = await stores.added(workflow="report")
    again = await stores.added(STARTED, POSTPONED, workflow="report")
    assert await stores.agenda.startable(LATER, 10, {"report": 10}, new_before=LATER) == ids([report, again])


async def test_renew_moves_due_at_of_jobs_processing_in_that_attempt_without_a_new_version(stores: Stores) -> None:
    job = await stores.added(STARTED)
    until = AT + timedelta(minutes=5)
    assert await stores.agenda.renew({job.job_id: 1}, until) == {job.job_id}
    found, lines = await stores.chain(job.job_id)
    assert found is not None
    assert (found.due_at, found.version) == (until, job.version)
    assert verification.verify(found, job.job_id, lines) is None
    assert await stores.agenda.due(until - SECOND, 10, MINE) == []


async def test_renew_gives_the_ids_that_are_still_held(stores: Stores) -> None:
    mine = [await stores.added(STARTED) for _ in range(3)]
    other_attempt = await stores.added(STARTED, POSTPONED)
    delivered = await stores.added(STARTED, DELIVERED)
    ended = await stores.added(STARTED, COMPLETED)
    unknown: JobId = new_job_id(AT)
    asked = [*(job.job_id for job in mine), other_attempt.job_id, delivered.job_id, ended.job_id, unknown]
    held = await stores.agenda.renew(dict.fromkeys(asked, 1), LATER)
    assert held == {job.job_id for job in mine}
    assert (await stores.log.get(delivered.job_id)).due_at == AT + SECOND + SOON
    assert (await stores.log.get(ended.job_id)).due_at is None


async def test_renew_of_an_attempt_that_is_over_changes_nothing(stores: Stores) -> None:
    job = await stores.happened(await stores.added(STARTED, POSTPONED), STARTED)
    assert await stores.agenda.renew({job.job_id: 1}, LATER) == set()
    assert await stores.agenda.renew({job.job_id: 2}, LATER) == {job.job_id}
    assert await stores.agenda.renew({}, LATER) == set()


async def test_erasable_gives_ended_jobs_that_were_not_erased_the_longest_ended_first(stores: Stores) -> None:
    later = await stores.added(STARTED, COMPLETED, created_at=AT + SECOND)
    first = await stores.added(FAILED, created_at=AT)
    report = await stores.added(CANCELLED, workflow="report", created_at=AT + 5 * SECOND)
    await stores.added(STARTED, DELIVERED)
    gone, line = after(await stores.added(CANCELLED), ERASED)
    await stores.log.erase(gone, line)
    erasable = stores.agenda.erasable
    assert await erasable(LATER, 10) == [first, later, report]
    assert await erasable(LATER, 2) == [first, later]
    assert await erasable(LATER, 10, only="report") == [report]
    assert await erasable(LATER, 10, without=["report"]) == [first, later]
    assert later.completed_at is not None
    assert await erasable(later.completed_at, 10) == [first]


async def test_now_is_zone_aware_and_moves_on(stores: Stores) -> None:
    first, second = await stores.agenda.now(), await stores.agenda.now()
    assert first.utcoffset() == timedelta(0)
    assert first < second
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=1)
