"""Reports about GitHub users over HTTP: fresh, stale, missing, failed, with a key and without."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from app.api.v1 import outcomes
from app.domain.lifecycle import Completed, Failed
from app.domain.models import JobError, JobId, JobResult
from app.services.freshness import PAUSE
from app.workflows.profile import WORKFLOW
from tests.api.test_submit import is_problem
from tests.api.world import OTHER_KEY, WORKFLOWS

ADA = "/api/v1/profiles/ada?period=7d"
DAY = timedelta(days=1)
DATA = {"username": "ada", "weeks": [], "täglich": True}
BOB = {"Authorization": f"Bearer {OTHER_KEY}"}
NOBODY = {"Authorization": ""}


@pytest.fixture(autouse=True)
def with_profiles(monkeypatch):
    monkeypatch.setitem(WORKFLOWS, "profile", WORKFLOW)


def job_of(answer) -> JobId:
    body = answer.json()
    return JobId(UUID((body["job"] if "job" in body else body["refresh"]["job"])["job_id"]))


@pytest.fixture
async def made(api, world):
    """A report that was made just now."""
    job_id = job_of(await api.get(ADA))
    await world.advance(job_id, Completed(result=JobResult(message="made", data=DATA)))
    return job_id


async def test_a_missing_report_is_begun_once_and_joined_by_all_who_ask(api, world):
    answers = await asyncio.gather(*(api.get(ADA, headers=BOB if n % 2 else {}) for n in range(500)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({job_of(answer) for answer in answers}) == 1
    assert sum("joined" not in answer.json()["job"] for answer in answers) == 1
    assert len(world.memory.jobs) == 1
    first = answers[0].json()
    assert (first["username"], first["period"], first["status"]) == ("ada", "7d", "making")
    assert answers[0].headers["location"] == first["job"]["links"]["self"]


async def test_all_who_asked_get_the_report_live(api, world):
    job_id = job_of(await api.get(ADA))
    events = (await api.get(ADA)).json()["job"]["links"]["events"]

    async def told() -> bool:
        async with api.stream("GET", events) as stream:
            async for line in stream.aiter_lines():
                if line == "event: Completed":
                    return (await api.get(ADA)).json()["report"] == DATA
        return False

    watching = [asyncio.create_task(told()) for _ in range(20)]
    await asyncio.sleep(0.1)
    await world.advance(job_id, Completed(result=JobResult(data=DATA)))
    assert await asyncio.wait_for(asyncio.gather(*watching), 10) == [True] * 20


async def test_a_fresh_report_is_served_with_its_age_and_for_how_long_it_may_be_kept(api, world, made):
    world.clock.ahead += timedelta(hours=5)
    answer = await api.get(ADA)
    body = answer.json()
    assert (answer.status_code, body["status"], body["report"], body["refresh"]) == (200, "fresh", DATA, None)
    assert 18000 <= int(answer.headers["age"]) < 18060
    assert answer.headers["cache-control"] == "private, max-age=86400, stale-while-revalidate=604800"
    assert answer.headers["vary"] == "Authorization"
    again = await api.get(ADA, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content, again.headers["age"] >= answer.headers["age"]) == (304, b"", True)
    assert len(world.memory.jobs) == 1


async def test_a_stale_report_is_served_at_once_and_a_newer_one_is_begun_and_joined(api, world, made):
    world.clock.ahead += DAY
    first, second = await api.get(ADA), await api.get(ADA, headers=BOB)
    for answer in (first, second):
        assert (answer.status_code, answer.json()["status"], answer.json()["report"]) == (200, "stale", DATA)
        assert int(answer.headers["age"]) >= 86400
        assert answer.json()["refresh"]["status"] == "running"
    assert job_of(first) == job_of(second) != made
    assert [answer.json()["refresh"]["job"].get("joined") for answer in (first, second)] == [None, True]
    newer = {**DATA, "newer": 1}
    await world.advance(job_of(first), Completed(result=JobResult(data=newer)))
    answer = await api.get(ADA, headers={"If-None-Match": first.headers["etag"]})
    assert (answer.status_code, answer.json()["status"], answer.json()["report"]) == (200, "fresh", newer)


async def test_without_a_key_any_age_is_served_and_nothing_is_begun(api, world, made):
    assert (await api.get(ADA, headers=NOBODY)).json()["refresh"] is None
    world.clock.ahead += 40 * DAY
    answer = await api.get(ADA, headers=NOBODY)
    assert (answer.status_code, answer.json()["report"]) == (200, DATA)
    assert answer.json()["refresh"] == {"status": "log in to refresh"}
    assert len(world.memory.jobs) == 1
    await api.get(ADA)
    answer = await api.get(ADA, headers=NOBODY)
    assert answer.json()["refresh"] == {"status": "running"}  # and no link into it


async def test_without_a_key_a_missing_report_is_401_and_stays_missing(api, world):
    answer = await api.get(ADA, headers=NOBODY)
    is_problem(answer, 401)
    assert "log in to make it" in answer.json()["detail"]
    is_problem(await api.get(ADA, headers={"Authorization": "Bearer wrong"}), 401)
    await api.get(ADA)
    is_problem(await api.get(ADA, headers=NOBODY), 401)
    assert len(world.memory.jobs) == 1


async def test_a_failed_refresh_keeps_the_old_report_and_says_so(api, world, made):
    world.clock.ahead += DAY
    job_id = job_of(await api.get(ADA))
    await world.advance(job_id, Failed(error=JobError(type="step_failed", detail="GitHub answered 500")))
    for headers in ({}, NOBODY):
        answer = await api.get(ADA, headers=headers)
        refresh = answer.json()["refresh"]
        assert (answer.status_code, answer.json()["report"]) == (200, DATA)
        assert (refresh["status"], refresh["detail"]) == ("failed", "GitHub answered 500")
        assert refresh["at"] < refresh["again_at"]
    world.clock.ahead += PAUSE
    assert (await api.get(ADA, headers=NOBODY)).json()["refresh"]["again_at"] is None
    assert (await api.get(ADA)).json()["refresh"]["status"] == "running"


async def test_a_first_try_that_failed_is_503_with_the_reason_and_when_to_come_back(api, world):
    job_id = job_of(await api.get(ADA))
    await world.advance(job_id, Failed(error=JobError(type="step_failed", detail="GitHub knows no user of this name")))
    answer = await api.get(ADA)
    is_problem(answer, 503)
    assert "knows no user" in answer.json()["detail"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    world.clock.ahead += PAUSE
    assert (await api.get(ADA)).status_code == 202


async def test_names_and_periods_are_checked_and_a_service_without_the_workflow_says_404(api, monkeypatch):
    for address, field in (("/api/v1/profiles/-ada", "username"), (f"{ADA}9", "period")):
        answer = await api.get(address)
        is_problem(answer, 422)
        assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    monkeypatch.delitem(WORKFLOWS, "profile")
    is_problem(await api.get(ADA), 404)


async def test_a_plain_submission_joins_the_report_that_is_being_made(api):
    job_id = job_of(await api.get(ADA))
    submission = {"workflow": "profile", "params": {"username": "ADA", "period": "7d"}}
    answer = await api.post("/api/v1/jobs", json=submission, headers=BOB)
    assert (answer.status_code, answer.json()["job_id"], answer.json()["joined"]) == (202, str(job_id), True)
    assert "idempotent-replayed" not in answer.headers


async def test_results_are_kept_as_bytes_for_the_newest_readers_only(api, world, made, monkeypatch):
    monkeypatch.setattr(outcomes, "MOST_KEPT", 2)
    for name in ("bob", "cyd", "dan"):
        job_id = job_of(await api.get(f"/api/v1/profiles/{name}"))
        await world.advance(job_id, Completed(result=JobResult(data={"name": name})))
        assert (await api.get(f"/api/v1/profiles/{name}")).json()["report"] == {"name": name}
    assert (await api.get(ADA)).json()["report"] == DATA
