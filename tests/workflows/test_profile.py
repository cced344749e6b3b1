"""The report about a GitHub user, from a GitHub on a real socket to the figures."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, date, datetime, timedelta

import pytest

from app.domain.errors import Invalid, ToolRefused
from app.infrastructure.code_host_github import GithubCodeHost
from app.infrastructure.memory_answer_cache import MemoryAnswerCache
from app.workflows.profile import WORKFLOW, days_of
from tests.contracts.outside_fixtures import client, far, outside  # noqa: F401 - fixtures
from tests.github import TOKEN, GitHub, item
from tests.workflows.stage import done

DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def github(far):  # noqa: F811 - the fixture
    at = datetime.now(UTC).replace(microsecond=0)
    made = GitHub()
    made.did["author", "ada", "pr"] = [
        item("ada/engine", 1, at, "merged"),
        item("ada/engine", 2, at - 8 * DAY),
        item("bob/loom", 3, at - 8 * DAY, "closed"),
        item("ada/engine", 4, at - 300 * DAY, "merged"),
    ]
    made.did["reviewed-by", "ada", "pr"] = [item("bob/loom", 5, at - 15 * DAY)]
    far.will(made)
    return made


@pytest.fixture
def host(far, outside, client, github):  # noqa: F811 - the fixtures
    return GithubCodeHost(outside, client, MemoryAnswerCache(), now, url=far.url, token=TOKEN)


async def test_a_report_counts_by_week_and_by_repository(host) -> None:
    report = await done(WORKFLOW, {"username": "Ada", "period": "30d"}, host)
    data, today = report["data"], datetime.now(UTC).date()
    assert report["message"].endswith(": 3 pull requests, 1 reviews, 0 issues")
    assert (data["username"], data["since"], data["until"]) == ("ada", str(today - 29 * DAY), str(today))
    assert data["totals"] == {"pull_request": 3, "review": 1, "issue": 0, "merged": 1}
    assert data["repositories"] == [
        {"repository": "ada/engine", "pull_request": 2, "review": 0, "issue": 0, "merged": 1},
        {"repository": "bob/loom", "pull_request": 1, "review": 1, "issue": 0, "merged": 0},
    ]
    weeks = {week["week"]: week["pull_request"] for week in data["weeks"]}
    assert weeks[str(today - today.weekday() * DAY)] == 1
    assert (sum(weeks.values()), len(weeks) in (5, 6), data["complete"]) == (3, True, True)
    assert "| ada/engine | 2 | 0 | 0 |" in data["markdown"]


async def test_every_week_of_the_period_is_there_also_where_nothing_happened(host) -> None:
    data = (await done(WORKFLOW, {"username": "ada", "period": "1y"}, host))["data"]
    mondays = [date.fromisoformat(week["week"]) for week in data["weeks"]]
    assert all(later - earlier == 7 * DAY for earlier, later in itertools.pairwise(mondays))
    assert mondays[0] <= date.fromisoformat(data["since"]) < mondays[1]
    assert mondays[-1] <= date.fromisoformat(data["until"]) < mondays[-1] + 7 * DAY


async def test_the_busiest_user_makes_a_report_that_fits(host, github) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    github.did["author", "ada", "pr"] = [
        item(f"organisation-{n % 700}/{'r' * 90}", n, at - (n % 360) * DAY) for n in range(2500)
    ]
    data = (await done(WORKFLOW, {"username": "ada", "period": "1y"}, host))["data"]
    assert (len(data["repositories"]), data["more_repositories"], data["totals"]["pull_request"]) == (50, 651, 2500)
    assert len(json.dumps(data)) < 64 * 1024


async def test_a_user_whom_github_does_not_know_is_told_in_words(host) -> None:
    with pytest.raises(ToolRefused, match="knows no user"):
        await done(WORKFLOW, {"username": "nobody"}, host)


@pytest.mark.parametrize(
    "username", ["", "-ada", "ada-", "a--b", "a" * 40, "ada/engine", "ada%20", "ädä", "ada\n", 7, None]
)
def test_what_cannot_be_a_users_name_is_refused(username) -> None:
    with pytest.raises(Invalid) as caught:
        WORKFLOW.check({"username": username})
    assert [problem.field for problem in caught.value.problems] == ["username"]


@pytest.mark.parametrize("period", ["8d", "2026-13", "2007-12", "9999-01", "2026-1", "1y ", 30])
def test_periods_that_do_not_exist_are_refused(period) -> None:
    with pytest.raises(Invalid) as caught:
        WORKFLOW.check({"username": "ada", "period": period, "colour": "red"})
    assert sorted(problem.field for problem in caught.value.problems) == ["colour", "period"]


def test_names_that_differ_in_case_are_one_subject_and_one_report() -> None:
    small, large = (WORKFLOW.check({"username": name, "period": "7d"}) for name in ("a-B-9", "A-b-9"))
    assert WORKFLOW.dedup_key(small) == WORKFLOW.dedup_key(large) == "profile:a-b-9 7d"
    assert WORKFLOW.subject_of(small) == "a-b-9"
    assert WORKFLOW.check({"username": "ada", "period": ""})["period"] == "30d"


def test_a_period_is_so_many_days_with_today_or_a_whole_month() -> None:
    today = date(2024, 3, 1)
    assert days_of("7d", today) == (date(2024, 2, 24), today)
    assert days_of("2024-02", today) == (date(2024, 2, 1), date(2024, 2, 29))
