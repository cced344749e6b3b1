"""`/reports/github/{username}`: what somebody did on GitHub. The newest report at once, or how the first one comes
along."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.domain.models import Job, JobStatus, Json
from app.services import Services
from app.services.freshness import Outcome
from app.web.fragments import Fragments
from app.web.gate import Ours, Visitor
from app.web.job_view import JobView, job_view
from app.web.plots import WeekPlot, week_plot
from app.web.rendering import html, page, ready

router = APIRouter(include_in_schema=False)

PERIODS = {"7d": "Week", "30d": "30 days", "90d": "90 days", "1y": "Year"}
CAUTIOUS = "private, max-age=0, stale-while-revalidate=60"

Period = Annotated[str, Query(max_length=20)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """A report as its page shows it. `data` is None where there is none yet."""

    username: str
    period: str
    outcome: Outcome
    data: Any
    plot: WeekPlot | None
    making: JobView | None
    login: str
    known: bool  # whether the visitor may begin one

    @property
    def telling(self) -> str:
        """How the making stands, in a sentence."""
        making = self.outcome.making
        if making is None:
            return ""
        waits = making.status is JobStatus.QUEUED
        return making.progress.message or ("It is in line." if waits else "It has begun.")

    @property
    def version(self) -> int:
        """Of the job that is watched."""
        return self.outcome.making.version if self.outcome.making else 0


@router.get("/reports/github/{username}")
async def report(request: Request, username: str, services: Ours, visitor: Visitor, period: Period = "30d") -> Response:
    """The whole page."""
    outcome, text = await _shown(request, services, visitor.client if visitor else None, username, period)
    making, name = outcome.making, str(outcome.params["username"])
    watched = visitor is not None and making is not None
    query = urlencode({"period": outcome.params["period"]})
    etag = f'"{hashlib.sha256(f"{visitor and visitor.csrf} {text}".encode()).hexdigest()[:20]}"'
    if outcome.made is not None and etag in request.headers.get("if-none-match", ""):
        return _aged(Response(status_code=304), outcome, etag)
    answer = page(
        request,
        "report.html",
        _status(outcome, known=visitor is not None),
        visitor=visitor,
        name=name,
        period=outcome.params["period"],
        periods=PERIODS,
        text=text,
        going_on=watched,
        fragment=f"/reports/github/{quote(name)}/fragment?{query}",
        events=job_view(services, making).events if watched and making else "",
    )
    return _aged(answer, outcome, etag)


@router.get("/reports/github/{username}/fragment")
async def fragment(
    request: Request, username: str, services: Ours, visitor: Visitor, period: Period = "30d"
) -> Response:
    """The part of the page that changes."""
    _, text = await _shown(request, services, visitor.client if visitor else None, username, period)
    return ready(text)


async def _shown(
    request: Request, services: Services, client: str | None, username: str, period: str
) -> tuple[Outcome, str]:
    """How it stands, and as HTML: rendered once for all who look in the same moment."""
    outcome = await services.freshness.ask(client, "profile", {"username": username, "period": period})
    fragments: Fragments = request.app.state.fragments
    making, failed = outcome.making, outcome.failed
    shown = (making and (making.job_id, making.version), failed and failed.job_id, client is not None)
    key = ("profile", outcome.params["username"], outcome.params["period"], outcome.made, *shown)
    text = fragments.get(key, outcome.at)
    if text is None:
        text = html("_report.html", view=await _view(services, outcome, known=client is not None))
        fragments.keep(key, text, outcome.at)
    return outcome, text


async def _view(services: Services, outcome: Outcome, *, known: bool) -> ReportView:
    name, period = str(outcome.params["username"]), str(outcome.params["period"])
    data: Json = None
    if outcome.made is not None:
        data = (await services.log.get(outcome.made.job_id)).result.data
    here = f"/reports/github/{quote(name)}?{urlencode({'period': period})}"
    return ReportView(
        username=name,
        period=period,
        outcome=outcome,
        data=data,
        plot=week_plot(data) if isinstance(data, dict) else None,
        making=_watched(services, outcome.making),
        login=f"/login?{urlencode({'next': here})}",
        known=known,
    )


def _watched(services: Services, making: Job | None) -> JobView | None:
    return job_view(services, making) if making else None


def _status(outcome: Outcome, *, known: bool) -> int:
    if outcome.made is not None:
        return 200
    if not known:
        return 401
    return 202 if outcome.making else 503


def _aged(answer: Response, outcome: Outcome, etag: str) -> Response:
    if outcome.made is not None:
        answer.headers["ETag"] = etag
        answer.headers["Age"] = str(int(outcome.age.total_seconds()))
        answer.headers["Cache-Control"] = CAUTIOUS
        answer.headers["Vary"] = "Cookie"
    return answer
