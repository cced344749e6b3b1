"""`/audit/{id}`: the record of one job with its hashes, and whether it holds. For operators only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.domain import audit, verification
from app.domain.models import AuditEvent, Json
from app.domain.verification import Finding
from app.web.gate import Operator, Ours, job_id_of
from app.web.history import Moment, moment
from app.web.job_view import fresh_path, job_view
from app.web.rendering import page

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the chain. `sound` says whether the chain holds up to and with it."""

    moment: Moment
    event: AuditEvent
    facts: Mapping[str, Json]
    detail: Mapping[str, Json] | None
    sound: bool


@router.get("/audit/{job_id}")
async def record(request: Request, job_id: str, services: Ours, session: Operator) -> Response:
    """The chain from the first line on, checked while one looks."""
    wanted = job_id_of(job_id)
    job, events = await services.log.get(wanted), await services.log.history(wanted)
    finding = verification.verify(job, wanted, events)
    now = services.clock()
    return page(
        request,
        "audit.html",
        visitor=session,
        view=job_view(services, job),
        job=job,
        lines=lines(events, finding),
        finding=finding,
        genesis=audit.genesis(wanted),
        receipt=fresh_path(services, job, "receipt", now),
        now=now,
    )


def lines(events: Sequence[AuditEvent], finding: Finding | None) -> list[Line]:
    """The chain's lines in order, each with whether everything up to it is as it was written."""
    broken = finding.version if finding else None
    return [
        Line(
            moment=moment(event),
            event=event,
            facts=event.facts,
            detail=event.detail,
            sound=broken is None or event.version < broken,
        )
        for event in events
    ]
