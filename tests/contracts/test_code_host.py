"""What every CodeHost promises, against a GitHub on a real socket: also when it is slow, full, failing or lying."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta

import pytest

from app.domain.errors import ToolRefused, ToolTrouble
from app.domain.tools import ContributionKind
from app.infrastructure.code_host_github import GithubCodeHost, shelves
from app.infrastructure.memory_answer_cache import MemoryAnswerCache
from tests.contracts.outside_fixtures import client, far, outside  # noqa: F401 - fixtures
from tests.far_side import answer, hang, reply, reset_after_body
from tests.github import TOKEN, GitHub, item

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
DAY = timedelta(days=1)
PULLS, REVIEWS, ISSUES = ContributionKind
PERIODS = [(TODAY - number * DAY, TODAY) for number in (6, 29, 89, 364)]


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def github(far):  # noqa: F811 - the fixture
    spread = [NOW - number * 2 * DAY for number in range(200)]
    made = GitHub()
    made.did["author", "ada", "pr"] = [
        item("ada/engine", number, at, "merged" if number % 3 else "open") for number, at in enumerate(spread)
    ]
    made.did["reviewed-by", "ada", "pr"] = [item("bob/loom", number, at) for number, at in enumerate(spread)]
    made.did["author", "ada", "issue"] = [item("bob/loom", 900, NOW - 3 * DAY, "closed", "issue")]
    far.will(made)
    return made


@pytest.fixture
def cache():
    return MemoryAnswerCache()


@pytest.fixture
def host(far, outside, client, clock, cache, github):  # noqa: F811 - the fixtures
    return GithubCodeHost(outside, client, cache, clock, url=far.url, token=TOKEN)


async def test_what_a_user_did_in_a_period_comes_from_all_pages_the_oldest_first(host, github) -> None:
    found = await host.contributions("ada", PULLS, TODAY - 364 * DAY, TODAY)
    assert found.complete
    assert [one.number for one in found.items] == list(range(182, -1, -1))
    assert (found.items[0].repository, found.items[-1].created_at) == ("ada/engine", NOW)
    assert [one.state for one in found.items[-4:]] == ["open", "merged", "merged", "open"]


async def test_days_are_whole_and_both_are_included(host) -> None:
    found = await host.contributions("ada", PULLS, TODAY - 4 * DAY, TODAY - 2 * DAY)
    assert [one.number for one in found.items] == [2, 1]


async def test_pull_requests_reviews_and_issues_are_told_apart(host) -> None:
    week = [await host.contributions("ada", kind, TODAY - 6 * DAY, TODAY) for kind in ContributionKind]
    assert [len(part.items) for part in week] == [4, 4, 1]
    assert [part.items[0].repository for part in week] == ["ada/engine", "bob/loom", "bob/loom"]


@pytest.mark.parametrize(("rows", "day"), [(5, 1), (5, 7), (5, 30), (250, 1), (250, 15), (1100, 30)])
async def test_four_periods_of_one_user_cost_at_least_70_percent_fewer_calls_than_four_runs_on_their_own(
    far,  # noqa: F811 - the fixture
    outside,  # noqa: F811
    client,  # noqa: F811
    clock,
    github,
    day,
    rows,
) -> None:
    clock.at = NOW.replace(day=day)
    made = [item("ada/engine", number, clock.at - (number * 360 // rows) * DAY) for number in range(rows)]
    github.did = {("author", "ada", "pr"): made, ("reviewed-by", "ada", "pr"): made, ("author", "ada", "issue"): made}
    periods = [(clock.at.date() - number * DAY, clock.at.date()) for number in (6, 29, 89, 364)]

    async def calls(shared: bool) -> int:
        github.calls, cache = 0, MemoryAnswerCache()
        for since, until in periods:
            if not shared:
                cache = MemoryAnswerCache()
            host = GithubCodeHost(outside, client, cache, clock, url=far.url, token=TOKEN)
            for kind in ContributionKind:
                found = await host.contributions("ada", kind, since, until)
                assert len(found.items) == len([row for row in made if since.isoformat() <= str(row["created_at"])])
        return github.calls

    alone, together = await calls(shared=False), await calls(shared=True)
    assert together <= 0.3 * alone
    if rows < 100:  # against searches for exactly the days in question, too: one of each kind for each period
        assert (together, 0.3 * 4 * len(ContributionKind)) == (3, pytest.approx(3.6))


async def test_the_next_day_asks_whether_past_months_changed_and_pays_nothing_for_those_that_did_not(
    host, github, clock
) -> None:
    await host.contributions("ada", PULLS, TODAY - 364 * DAY, TODAY)
    first, paid = github.calls, github.limit
    clock.at += 2 * DAY
    again = await host.contributions("ada", PULLS, TODAY - 364 * DAY, TODAY)
    assert (github.calls, github.unchanged, github.limit) == (2 * first, first, paid)
    assert len(again.items) == 183


async def test_while_a_month_goes_on_only_the_page_that_grows_is_asked_for_again(host, github, clock) -> None:
    await host.contributions("ada", PULLS, TODAY - 364 * DAY, TODAY)
    assert github.calls == 2  # pages
    clock.at += timedelta(minutes=11)
    github.did["author", "ada", "pr"].append(item("ada/engine", 777, clock.at))
    found = await host.contributions("ada", PULLS, TODAY - 364 * DAY, TODAY)
    assert (github.calls, found.items[-1].number, len(found.items)) == (3, 777, 184)


async def test_a_state_that_changed_is_seen_when_it_is_asked_for_again(host, github, clock) -> None:
    await host.contributions("ada", PULLS, TODAY, TODAY)
    github.did["author", "ada", "pr"][0] = item("ada/engine", 0, NOW, "merged")
    assert [one.state for one in (await host.contributions("ada", PULLS, TODAY, TODAY)).items] == ["open"]
    clock.at += timedelta(minutes=11)
    assert [one.state for one in (await host.contributions("ada", PULLS, TODAY, TODAY)).items] == ["merged"]


async def test_more_than_one_search_gives_is_read_in_parts_and_what_no_part_gives_is_said_to_lack(host, github) -> None:
    busy = [item("ada/engine", number, NOW - (40 + number % 300) * DAY) for number in range(2300)]
    github.did["author", "ada", "pr"] = busy
    found = await host.contributions("ada", PULLS, TODAY - 364 * DAY, TODAY)
    assert (len({one.number for one in found.items}), found.complete) == (2300, True)
    github.did["author", "ada", "issue"] = [item("ada/engine", n, NOW, kind="issue") for n in range(1001)]
    found = await host.contributions("ada", ISSUES, TODAY, TODAY)
    assert (len(found.items), found.complete) == (1000, False)


def test_shelves_hold_all_days_once_and_are_the_same_on_every_day_of_a_month() -> None:
    for since, until in (*PERIODS, (date(2024, 2, 1), date(2024, 2, 29)), (date(2025, 9, 15), TODAY)):
        held = list(shelves(since, until, TODAY))
        days = [shelf.since + n * DAY for shelf in held for n in range((shelf.until - shelf.since).days + 1)]
        assert len(days) == len(set(days))
        assert {since + n * DAY for n in range((until - since).days + 1)} <= set(days)
    # the very same addresses, whichever rolling period and whichever day
    assert len({tuple(shelves(day - 29 * DAY, day, day)) for day in (TODAY, TODAY - 3 * DAY)}) == 1


async def test_an_unknown_user_is_refused_in_words(host) -> None:
    with pytest.raises(ToolRefused, match="knows no user"):
        await host.contributions("nobody", PULLS, TODAY, TODAY)


async def test_a_limit_that_is_reached_says_how_long_to_wait(host, github, clock) -> None:
    github.limit = 0
    clock.at = datetime.now(UTC)
    with pytest.raises(ToolTrouble, match="limit") as caught:
        await host.contributions("ada", PULLS, clock.at.date(), clock.at.date())
    assert caught.value.retry_after is not None
    assert timedelta(seconds=20) < caught.value.retry_after < timedelta(seconds=40)


@pytest.mark.parametrize(
    ("behaviour", "wait"),
    [
        (reply(403, "{}", headers={"Retry-After": "77"}), 77),
        (reply(429, "{}"), 60),
        (reply(403, '{"message": "You have exceeded a secondary rate limit."}'), 60),
        (reply(403, "{}", headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}), 3600),
    ],
)
async def test_every_kind_of_limit_is_heeded_and_none_for_longer_than_an_hour(host, github, behaviour, wait) -> None:
    github.override = behaviour
    with pytest.raises(ToolTrouble) as caught:
        await host.contributions("ada", PULLS, TODAY, TODAY)
    assert caught.value.retry_after == timedelta(seconds=wait)
    assert github.calls == 1


@pytest.mark.parametrize(
    ("behaviour", "error", "words"),
    [
        (hang, ToolTrouble, "did not answer"),
        (reset_after_body, ToolTrouble, "could not be reached"),
        (reply(502, "<html>"), ToolTrouble, "502"),
        (reply(200, "<html>a proxy's page"), ToolTrouble, "something other"),
        (reply(200, '{"total_count": 1, "incomplete_results": false, "items": [{"number": 1}]}'), ToolTrouble, "other"),
        (reply(200, '{"total_count": 9, "incomplete_results": true, "items": []}'), ToolTrouble, "ran out of time"),
        (reply(304), ToolRefused, "304"),
        (reply(401, "{}"), ToolRefused, "GITHUB_TOKEN"),
        (reply(403, '{"message": "Forbidden"}'), ToolRefused, "403"),
        (reply(404, "{}"), ToolRefused, "404"),
        (reply(200, "x" * (9 * 1024 * 1024)), ToolRefused, "more than"),
    ],
)
async def test_trouble_and_refusals_are_told_in_words_and_nothing_of_them_is_kept(
    host, github, cache, behaviour, error, words
) -> None:
    github.override = behaviour
    with pytest.raises(error, match=words):
        await host.contributions("ada", PULLS, TODAY, TODAY)
    assert not cache._kept


async def test_a_page_that_is_said_to_be_elsewhere_is_not_asked_for_with_our_token(host, github) -> None:
    body = json.dumps({"total_count": 200, "incomplete_results": False, "items": []})

    async def lies(call) -> None:
        await call.read_body()
        await call.send(answer(200, body, headers={"Link": '<http://elsewhere.test/search/issues?page=2>; rel="next"'}))

    github.override = lies
    with pytest.raises(ToolTrouble, match="another address"):
        await host.contributions("ada", PULLS, TODAY, TODAY)


async def test_pages_that_lead_in_a_circle_come_to_an_end(host, github, far) -> None:  # noqa: F811 - the fixture
    body = json.dumps({"total_count": 200, "incomplete_results": False, "items": []})
    link = f'<{far.url}/search/issues?q=again>; rel="next"'
    github.override = reply(200, body, headers={"Link": link})
    found = await asyncio.wait_for(host.contributions("ada", PULLS, TODAY, TODAY), 5)
    assert (found.items, github.calls <= 11) == ((), True)
