"""`/jobs/{id}`: the ticket, for whoever holds its link."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.domain.models import JobId
from app.services import Services
from app.web import history
from app.web.gate import Ours, Visitor, admit
from app.web.job_view import job_view
from app.web.rendering import page
from app.web.sessions import Session
from app.web.time_left import Durations, can_be_told, time_left

router = APIRouter(include_in_schema=False)

Token = Annotated[str, Query(max_length=500)]


@router.get("/jobs/{job_id}")
async def ticket(request: Request, job_id: str, services: Ours, visitor: Visitor, token: Token = "") -> Response:
    """The whole page."""
    wanted = admit(services, visitor, token, job_id)
    return await _shown(request, services, wanted, visitor, token, "ticket.html")


@router.get("/jobs/{job_id}/fragment")
async def fragment(request: Request, job_id: str, services: Ours, visitor: Visitor, token: Token = "") -> Response:
    """The part of the page that changes."""
    wanted = admit(services, visitor, token, job_id)
    return await _shown(request, services, wanted, visitor, token, "_ticket.html")


async def _shown(
    request: Request, services: Services, job_id: JobId, visitor: Session | None, token: str, template: str
) -> Response:
    job, lines = await services.log.get(job_id), await services.log.history(job_id)
    view, now = job_view(services, job), services.clock()
    durations: Durations = request.app.state.durations
    usual = can_be_told(job, overdue=view.overdue)
    known = await durations.of(job.workflow, services.search, now) if usual else []
    return page(
        request,
        template,
        private_address=True,
        visitor=visitor,
        view=view,
        job=job,
        moments=history.moments(lines),
        now=now,
        left=time_left(known, now - job.created_at),
        fragment=f"/jobs/{job_id}/fragment" + (f"?token={token}" if token else ""),
        events=f"/api/v1/jobs/{job_id}/events?token={token}" if token and visitor is None else view.events,
    )
