"""The pages of reports about GitHub users."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.lifecycle import Completed, Failed, Progressed, Started
from app.domain.models import JobError, JobId, JobResult, Progress
from app.services.freshness import PAUSE
from app.web.plots import week_plot
from app.workflows.profile import WORKFLOW
from tests.api.world import KEY, WORKFLOWS
from tests.web.conftest import OURS

ADA = "/reports/github/Ada?period=7d"
DAY = timedelta(days=1)


def figures(*counts: int, complete: bool = True) -> dict[str, object]:
    weeks = [
        {"week": f"2026-11-{2 + 7 * n:02}", "pull_request": count, "review": count // 2, "issue": 0}
        for n, count in enumerate(counts)
    ]
    repositories = [{"repository": "ada/<b>engine", "pull_request": sum(counts), "review": 0, "issue": 0, "merged": 1}]
    totals = {"pull_request": sum(counts), "review": sum(count // 2 for count in counts), "issue": 0, "merged": 1}
    return {
        "username": "ada",
        "since": "2026-11-02",
        "until": "2026-11-29",
        "complete": complete,
        "totals": totals,
        "weeks": weeks,
        "repositories": repositories if sum(counts) else [],
        "more_repositories": 3,
    }


@pytest.fixture(autouse=True)
def with_profiles(monkeypatch):
    monkeypatch.setitem(WORKFLOWS, "profile", WORKFLOW)


def only_job(world) -> JobId:
    (job_id,) = [job.job_id for job in world.memory.jobs.values() if not job.status.ended]
    return job_id


@pytest.fixture
async def made(operator, world):
    await operator.get(ADA)
    await world.advance(only_job(world), Completed(result=JobResult(data=figures(3, 7, 0, 12))))


async def a_day_later(operator, world) -> None:
    """The report is stale, and the session of half a day was begun again."""
    world.clock.ahead += DAY
    assert (await operator.post("/login", data={"key": KEY}, headers=OURS)).status_code == 303


async def test_a_missing_report_is_being_made_with_live_progress_and_becomes_the_report(operator, world):
    answer = await operator.get(ADA)
    assert (answer.status_code, "Being made" in answer.text) == (202, True)
    assert 'data-fragment="/reports/github/ada/fragment?period=7d"' in answer.text
    assert f'data-events="/api/v1/jobs/{only_job(world)}/events?token=' in answer.text
    job_id = only_job(world)
    await world.advance(job_id, Started(lease=timedelta(seconds=10)))
    progress = Progress(fraction=0.5, step=2, steps=5, message="Reading reviews")
    await world.advance(job_id, Progressed(progress=progress, due_in=timedelta()))
    part = (await operator.get("/reports/github/ada/fragment?period=7d")).text
    assert ('data-version="3"' in part, "data-ended" in part, "50 %" in part) == (True, False, True)
    await world.advance(job_id, Completed(result=JobResult(data=figures(3, 7))))
    part = (await operator.get("/reports/github/ada/fragment?period=7d")).text
    assert ("data-ended" in part, "<svg" in part, "Fresh" in part) == (True, True, True)
    assert "ada/&lt;b&gt;engine" in part


async def test_a_report_tells_its_age_and_is_not_sent_again_unchanged(operator, world, made):
    world.clock.ahead += timedelta(hours=3)
    answer = await operator.get(ADA)
    assert (answer.status_code, "data-events" in answer.text) == (200, False)
    assert int(answer.headers["age"]) >= 10800
    assert "stale-while-revalidate" in answer.headers["cache-control"]
    assert answer.headers["vary"] == "Cookie"
    again = await operator.get(ADA, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_stale_report_is_shown_while_a_newer_one_is_made(operator, world, made):
    await a_day_later(operator, world)
    answer = await operator.get(ADA)
    assert ("Stale" in answer.text, "A newer one is being made" in answer.text) == (True, True)
    assert f"/api/v1/jobs/{only_job(world)}/events" in answer.text


async def test_who_is_not_logged_in_is_asked_to_log_in_for_a_missing_or_stale_report(browser, world):
    answer = await browser.get(ADA)
    assert (answer.status_code, "Log in to make it" in answer.text) == (401, True)
    assert 'href="/login?next=%2Freports%2Fgithub%2Fada%3Fperiod%3D7d"' in answer.text
    assert not world.memory.jobs


async def test_who_is_not_logged_in_sees_a_report_of_any_age(operator, world, made):
    operator.cookies.clear()
    answer = await operator.get(ADA)
    assert (answer.status_code, "Log in" in answer.text) == (200, False)
    world.clock.ahead += 30 * DAY
    answer = await operator.get(ADA)
    assert ("Log in to refresh" in answer.text, "30 d" in answer.text) == (True, True)
    assert len(world.memory.jobs) == 1


async def test_a_failed_refresh_keeps_the_old_report_and_says_so(operator, world, made):
    await a_day_later(operator, world)
    await operator.get(ADA)
    await world.advance(only_job(world), Failed(error=JobError(type="step_failed", detail="GitHub answered 500")))
    answer = await operator.get(ADA)
    assert ("<svg" in answer.text, "GitHub answered 500" in answer.text) == (True, True)
    world.clock.ahead += timedelta(seconds=1)
    operator.cookies.clear()
    answer = await operator.get(ADA)
    assert ("<svg" in answer.text, "failed at" in answer.text) == (True, True)


async def test_a_first_try_that_failed_is_told_with_when_it_is_tried_again(operator, world):
    await operator.get(ADA)
    await world.advance(only_job(world), Failed(error=JobError(type="step_failed", detail="no such user")))
    answer = await operator.get(ADA)
    assert (answer.status_code, "no such user" in answer.text, "tries again" in answer.text) == (503, True, True)
    world.clock.ahead += PAUSE
    assert (await operator.get(ADA)).status_code == 202


async def test_a_period_in_which_nothing_happened_and_an_incomplete_one_say_so(operator, world):
    await operator.get(ADA)
    await world.advance(only_job(world), Completed(result=JobResult(data=figures(0, 0, complete=False))))
    text = (await operator.get(ADA)).text
    assert ("Nothing in this period" in text, "only a part" in text, "<svg" in text) == (True, True, False)


async def test_a_name_that_cannot_be_is_refused_on_a_page(operator):
    answer = await operator.get("/reports/github/a--b")
    assert (answer.status_code, "<!doctype html>" in answer.text) == (422, True)


@pytest.mark.parametrize(("busiest", "top"), [(1, 2), (7, 10), (10, 20), (66, 100), (900, 2000)])
def test_the_scale_of_a_plot_holds_the_busiest_week_and_no_bar_leaves_it(busiest, top):
    plot = week_plot(figures(busiest, 0, 1))
    assert plot is not None
    assert plot.levels[0].words == str(top)
    assert all(0 < bar.y < bar.y + bar.height <= plot.base + 0.2 for bar in plot.bars)
    assert all(plot.left <= bar.x < bar.x + bar.width <= plot.width for bar in plot.bars)
