"""What somebody did on GitHub in a period: pull requests, reviews and issues, by repository and week."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from app.domain.errors import FieldProblem, Invalid
from app.domain.models import Json
from app.domain.tools import CodeHost, ContributionKind
from app.domain.work import Work
from app.domain.workflow import Anonymous, Step, Workflow

# GitHub's own rule: letters, digits and single hyphens inside, at most 39 characters. Case does not matter.
USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){0,38}", re.IGNORECASE)
ROLLING = {"7d": 7, "30d": 30, "90d": 90, "1y": 365}
MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
FIRST_YEAR = 2008  # GitHub's
MOST_REPOSITORIES = 50
DAY = timedelta(days=1)
PULLS, REVIEWS, ISSUES = ContributionKind
WORDS = {PULLS: "Pull requests", REVIEWS: "Reviews", ISSUES: "Issues"}


def check(given: Mapping[str, Json]) -> Mapping[str, Json]:
    """A user's name, in small letters as names that differ in case are one user's, and a period (30d if not said)."""
    problems = [
        FieldProblem(name, "is not a parameter of this workflow") for name in given.keys() - {"username", "period"}
    ]
    username, period = given.get("username"), given.get("period") or "30d"
    if not isinstance(username, str) or not USERNAME.fullmatch(username):
        problems.append(FieldProblem("username", "must be a GitHub user's name: letters, digits and single hyphens"))
    if not isinstance(period, str) or not (period in ROLLING or _is_past_month(period)):
        message = f"must be one of {', '.join(ROLLING)}, or a month that has begun, as 2026-01"
        problems.append(FieldProblem("period", message))
    if problems:
        raise Invalid("the parameters were refused", problems)
    return {"username": str(username).lower(), "period": period}


def _is_past_month(period: str) -> bool:
    found = MONTH.fullmatch(period)
    return found is not None and int(found[1]) >= FIRST_YEAR and period <= datetime.now(UTC).strftime("%Y-%m")


def days_of(period: str, today: date) -> tuple[date, date]:
    """The first and the last day of a period, as of today."""
    if days := ROLLING.get(period):
        return today - (days - 1) * DAY, today
    first = date.fromisoformat(f"{period}-01")
    return first, (first + 31 * DAY).replace(day=1) - DAY


async def pull_requests(work: Work, host: CodeHost) -> Json:
    """Fixes the days of the period for all steps, and reads what the user wrote."""
    since, until = days_of(str(work.params["period"]), datetime.now(UTC).date())
    return {"since": since.isoformat(), "until": until.isoformat(), **await _read(work, host, PULLS, since, until)}


async def reviews(work: Work, host: CodeHost) -> Json:
    """Reads which pull requests of others they reviewed."""
    return await _read(work, host, REVIEWS, *_days(work))


async def issues(work: Work, host: CodeHost) -> Json:
    """Reads which issues they opened."""
    return await _read(work, host, ISSUES, *_days(work))


def _days(work: Work) -> tuple[date, date]:
    fixed = cast("dict[str, str]", work.outputs["pull_requests"])
    return date.fromisoformat(fixed["since"]), date.fromisoformat(fixed["until"])


async def _read(work: Work, host: CodeHost, kind: ContributionKind, since: date, until: date) -> dict[str, Json]:
    found = await host.contributions(str(work.params["username"]), kind, since, until)
    rows: list[Json] = [[one.repository, one.created_at.date().isoformat(), one.state] for one in found.items]
    return {"rows": rows, "complete": found.complete}


async def summary(work: Work) -> Json:
    """Counts by week and by repository."""
    since, until = _days(work)
    parts: dict[ContributionKind, Any] = {
        PULLS: work.outputs["pull_requests"],
        REVIEWS: work.outputs["reviews"],
        ISSUES: work.outputs["issues"],
    }
    weeks: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for number in range((until - since).days // 7 + 2):
        monday = _monday(since) + number * 7 * DAY
        if monday <= until:
            weeks[monday.isoformat()] = Counter()
    repositories: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for kind, part in parts.items():
        for repository, day, state in part["rows"]:
            weeks[_monday(date.fromisoformat(day)).isoformat()][kind] += 1
            repositories[repository][kind] += 1
            repositories[repository]["merged"] += kind is PULLS and state == "merged"
    ranked = sorted(repositories.items(), key=lambda one: (-_all(one[1]), one[0]))
    totals = {kind.value: len(part["rows"]) for kind, part in parts.items()}
    return {
        "username": work.params["username"],
        "period": work.params["period"],
        "since": since.isoformat(),
        "until": until.isoformat(),
        "complete": all(part["complete"] for part in parts.values()),
        "totals": {**totals, "merged": sum(one["merged"] for one in repositories.values())},
        "weeks": [{"week": week, **_counts(counts)} for week, counts in sorted(weeks.items())],
        "repositories": [
            {"repository": name, **_counts(counts), "merged": counts["merged"]}
            for name, counts in ranked[:MOST_REPOSITORIES]
        ],
        "more_repositories": max(len(ranked) - MOST_REPOSITORIES, 0),
    }


def _monday(day: date) -> date:
    return day - day.weekday() * DAY


def _all(counts: Counter[str]) -> int:
    return sum(counts[kind] for kind in ContributionKind)


def _counts(counts: Counter[str]) -> dict[str, Json]:
    return {kind.value: counts[kind] for kind in ContributionKind}


async def report(work: Work) -> Json:
    """The figures, and the same as Markdown."""
    figures = cast("dict[str, Any]", work.outputs["summary"])
    told = ", ".join(f"{figures['totals'][kind]} {words.lower()}" for kind, words in WORDS.items())
    message = f"{figures['username']}, {figures['since']} to {figures['until']}: {told}"
    return {"message": message, "data": {**figures, "markdown": "\n".join(_markdown(figures, told))}}


def _markdown(figures: Mapping[str, Any], told: str) -> list[str]:
    kinds = [(kind.value, words) for kind, words in WORDS.items()]
    head, rule = " | ".join(words for _, words in kinds), " | ".join("---:" for _ in kinds)

    def row(name: str, counts: Mapping[str, Any]) -> str:
        return f"| {name} | " + " | ".join(str(counts[kind]) for kind, _ in kinds) + " |"

    lines = [f"# {figures['username']} on GitHub", "", f"{figures['since']} to {figures['until']}: {told}."]
    if not figures["complete"]:
        lines += ["", "GitHub gave only a part of what there is."]
    lines += ["", "## By repository", "", f"| Repository | {head} |", f"| --- | {rule} |"]
    lines += [row(one["repository"], one) for one in figures["repositories"]]
    lines += ["", "## By week", "", f"| Week of | {head} |", f"| --- | {rule} |"]
    return lines + [row(one["week"], one) for one in figures["weeks"]]


SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "title": "GitHub user", "maxLength": 39},
        "period": {
            "type": "string",
            "title": "Period",
            "default": "30d",
            "description": "7d, 30d, 90d, 1y, or a month such as 2026-01",
        },
    },
    "required": ["username"],
}

WORKFLOW = Workflow(
    name="profile",
    title="What somebody did on GitHub",
    schema=SCHEMA,
    check=check,
    in_flight=2,
    steps=(
        Step(name="pull_requests", title="Reading pull requests", run=pull_requests, weight=3),
        Step(name="reviews", title="Reading reviews", run=reviews, weight=3),
        Step(name="issues", title="Reading issues", run=issues, weight=2),
        Step(name="summary", title="Counting", run=summary),
        Step(name="report", title="Writing the report", run=report),
    ),
    dedup=lambda params: f"{params['username']} {params['period']}",
    subject=lambda params: str(params["username"]),
    subject_limit=1,
    fresh_for=timedelta(hours=24),
    anonymous=Anonymous.READ,
)
