"""`/jobs/{id}`: the ticket, for whoever holds its link."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.domain.models import Job
from app.services import Services
from app.web import history, words
from app.web.fragments import Fragments
from app.web.gate import Ours, Visitor, admit
from app.web.job_view import is_overdue, job_view
from app.web.rendering import html, page, ready

router = APIRouter(include_in_schema=False)

Token = Annotated[str, Query(max_length=500)]


@router.get("/jobs/{job_id}")
async def ticket(request: Request, job_id: str, services: Ours, visitor: Visitor, token: Token = "") -> Response:
    """The whole page."""
    wanted = admit(services, visitor, token, job_id)
    values = await _values(services, await services.log.get(wanted))
    query = f"?token={token}" if token else ""
    return page(
        request,
        "ticket.html",
        private_address=True,
        visitor=visitor,
        fragment=f"/jobs/{wanted}/fragment{query}",
        events=f"/api/v1/jobs/{wanted}/events{query}" if token and visitor is None else values["view"].events,
        **values,
    )


@router.get("/jobs/{job_id}/fragment")
async def fragment(request: Request, job_id: str, services: Ours, visitor: Visitor, token: Token = "") -> Response:
    """The part of the page that changes; the same for everybody who watches the job."""
    wanted = admit(services, visitor, token, job_id)
    fragments: Fragments = request.app.state.fragments
    job, now = await services.log.get(wanted), services.clock()
    key = wanted, job.version, is_overdue(services, job)
    text = fragments.get(key, now)
    if text is None:
        text = html("_ticket.html", **await _values(services, job))
        fragments.keep(key, text, now)
    return ready(text, private_address=True)


async def _values(services: Services, job: Job) -> dict[str, Any]:
    lines = await services.log.history(job.job_id)
    view = job_view(services, job)
    left = await services.estimates.of(job, overdue=view.overdue)
    return {
        "view": view,
        "job": job,
        "moments": history.moments(lines),
        "now": services.clock(),
        "left": left and words.time_left(left),
    }
