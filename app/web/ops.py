"""`/ops`: what needs a person, every job, and what can be done about them. For operators only."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from app.domain.errors import Conflict, FileGone, Invalid, JobNotFound, OverQuota
from app.domain.protocols import LOOKED_THROUGH, JobPage
from app.services import Services
from app.web import history, words
from app.web.gate import Operator, OperatorsForm, Ours, job_id_of, same_site
from app.web.job_view import job_view
from app.web.ops_chart import SAMPLE, Day
from app.web.ops_view import curl, figures, may_retry, needs
from app.web.ops_wishes import WITHIN, Wishes
from app.web.rendering import page
from app.web.sessions import Session
from app.web.tools_view import tools

router = APIRouter(include_in_schema=False)

MOST_RETRIED = 100
PAGE = 30
# What a redirect may have said: the address carries the name, never the words.
_SAID = {
    "cancelled": "The job was cancelled.",
    "retried": "Handed in again. This is the new job.",
    "ended": "It had ended already, so nothing was cancelled.",
    "not-now": "It cannot be retried: only failed and cancelled jobs can, as long as their file is kept.",
    "full": "There are too many unfinished jobs at the moment. Try again later.",
}

Word = Annotated[str, Query(max_length=40)]
Name = Annotated[str, Query(max_length=200)]
Cursor = Annotated[str, Query(max_length=500)]
same_origin = Depends(same_site)


async def wishes(
    status: Word = "", workflow: Name = "", text: Name = "", within: Word = "", since: Word = "", before: Word = ""
) -> Wishes:
    """The chosen filters."""
    return Wishes(status=status, workflow=workflow, text=text, within=within, since=since, before=before)


Wanted = Annotated[Wishes, Depends(wishes)]


@router.get("/ops")
async def overview(
    request: Request, services: Ours, session: Operator, wanted: Wanted, cursor: Cursor = "", find: Name = ""
) -> Response:
    """The whole page; an id in `find` leads to its job."""
    if find:
        return await _found(request, services, session, find.strip())
    values = await _overview(request, services, session, wanted, cursor)
    return page(request, "ops.html", visitor=session, **values, find="", said=_said(request))


@router.get("/ops/fragment")
async def overview_fragment(
    request: Request, services: Ours, session: Operator, wanted: Wanted, cursor: Cursor = ""
) -> Response:
    """The part of the page that changes."""
    values = await _overview(request, services, session, wanted, cursor)
    return page(request, "_ops.html", visitor=session, **values)


async def _overview(
    request: Request, services: Services, session: Session, wanted: Wishes, cursor: str
) -> dict[str, Any]:
    counts = await services.counts.now()
    names = {name: each.title for name, each in sorted(services.workflows.items())} | {
        name: name for name, _ in counts.by_workflow if name not in services.workflows
    }
    wanted = wanted.known(names)
    found = await _page(services, wanted, cursor)
    day: Day = request.app.state.day
    views = [job_view(services, job) for job in found.jobs]
    return {
        "figures": await figures(services, counts),
        "needs": await needs(services, counts) if not cursor else [],
        "day": await day.chart(services.statistics, services.clock) if not cursor else None,
        "sample": SAMPLE,
        "jobs": views,
        "retryable": {view.job.job_id for view in views if may_retry(view)},
        "older": f"/ops?{wanted.query(cursor=found.next)}#jobs" if found.next else "",
        "looked_through": LOOKED_THROUGH if wanted.text and len(views) < PAGE else 0,
        "newest": f"/ops?{wanted.query()}#jobs" if cursor else "",
        "fragment": f"/ops/fragment?{wanted.query(cursor=cursor)}",
        "names": names,
        "labels": words.STATUS,
        "within": {name: label for name, (label, _) in WITHIN.items()},
        "wanted": wanted,
        "now": services.clock(),
        "tools": tools() if not cursor else [],
        "dashboard": services.dashboard is not None,
        "csrf": session.csrf,
    }


async def _page(services: Services, wanted: Wishes, cursor: str) -> JobPage:
    look = partial(
        services.search.page,
        status=wanted.wanted_status,
        workflow=wanted.workflow or None,
        text=wanted.text,
        handed_in=wanted.between(services.clock()),
        limit=PAGE,
    )
    try:
        return await look(cursor=cursor or None)
    except Invalid:  # a cursor that was made up: the beginning
        return await look()


async def _found(request: Request, services: Services, session: Session, find: str) -> Response:
    try:
        job = await services.log.get(job_id_of(find.lower()))
    except JobNotFound:
        values = await _overview(request, services, session, Wishes(), "")
        wrong = "No job has this id. An id is 36 characters long and stands on the slip."
        return page(request, "ops.html", 404, visitor=session, **values, find=find, said=wrong)
    return RedirectResponse(f"/ops/jobs/{job.job_id}", 303)


@router.get("/ops/jobs/{job_id}")
async def one_job(request: Request, job_id: str, services: Ours, session: Operator) -> Response:
    """One job with its attempts and what can be done."""
    values = await _job(services, session, job_id)
    return page(request, "ops_job.html", visitor=session, **values, said=_said(request))


@router.get("/ops/jobs/{job_id}/fragment")
async def job_fragment(request: Request, job_id: str, services: Ours, session: Operator) -> Response:
    """The part of it that changes."""
    return page(request, "_ops_job.html", visitor=session, **await _job(services, session, job_id))


async def _job(services: Services, session: Session, job_id: str) -> dict[str, Any]:
    wanted = job_id_of(job_id)
    job, lines = await services.log.get(wanted), await services.log.history(wanted)
    view = job_view(services, job)
    return {
        "view": view,
        "job": job,
        "attempts": history.attempts(lines),
        "moments": history.moments(lines),
        "now": services.clock(),
        "curl": curl(services, wanted),
        "retryable": may_retry(view),
        "fragment": f"/ops/jobs/{wanted}/fragment",
        "csrf": session.csrf,
    }


@router.post("/ops/jobs/{job_id}/cancel", dependencies=[same_origin])
async def cancel(job_id: str, services: Ours, form: OperatorsForm) -> Response:  # noqa: ARG001 - checked by being asked for
    """Ends a job."""
    wanted = job_id_of(job_id)
    try:
        await services.tasks.cancel(wanted)
    except Conflict:
        return RedirectResponse(f"/ops/jobs/{wanted}?said=ended", 303)
    return RedirectResponse(f"/ops/jobs/{wanted}?said=cancelled", 303)


@router.post("/ops/jobs/{job_id}/retry", dependencies=[same_origin])
async def retry(job_id: str, services: Ours, session: Operator, form: OperatorsForm) -> Response:  # noqa: ARG001 - as above
    """Makes a new job of one that did not work."""
    wanted = job_id_of(job_id)
    try:
        submitted = await services.tasks.retry(session.client, wanted)
    except (Conflict, FileGone):
        return RedirectResponse(f"/ops/jobs/{wanted}?said=not-now", 303)
    except OverQuota:
        return RedirectResponse(f"/ops/jobs/{wanted}?said=full", 303)
    return RedirectResponse(f"/ops/jobs/{submitted.job.job_id}?said=retried", 303)


@router.post("/ops/retry", dependencies=[same_origin])
async def retry_many(services: Ours, session: Operator, form: OperatorsForm) -> Response:
    """Makes new jobs of all that were ticked, and says how many it were."""
    done = failed = 0
    for text in form.get("job", [])[:MOST_RETRIED]:
        try:
            await services.tasks.retry(session.client, job_id_of(text))
            done += 1
        except (Conflict, FileGone, JobNotFound, OverQuota):
            failed += 1
    return RedirectResponse(f"/ops?done={done}&failed={failed}", 303)


def _said(request: Request) -> str:
    done, failed = (request.query_params.get(name, "") for name in ("done", "failed"))
    if done.isascii() and done.isdigit() and failed.isascii() and failed.isdigit():
        told = "Nothing was ticked." if done == failed == "0" else f"Handed in again: {int(done[:4])}."
        return told if failed == "0" else f"{told} Not possible: {int(failed[:4])}."
    return _SAID.get(request.query_params.get("said", ""), "")
