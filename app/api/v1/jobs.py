"""Handing in and looking: submit, one job, many jobs, a job's history."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BeforeValidator

from app.api.auth import (
    Client,
    JobIdInPath,
    Ours,
    bearer,
    client,
    client_of,
    client_of_request,
    job_id_of,
    refused,
)
from app.api.openapi import PROBLEMS, SUBMISSION
from app.api.quick import shortcut
from app.api.rate_limit import rate_limit
from app.api.v1 import schemas, views
from app.api.v1.conditional import matches
from app.api.v1.long_poll import job_after
from app.api.v1.submissions import announced, count_upload, idempotency_key, submission_parts
from app.domain.errors import JobNotFound
from app.domain.models import JobStatus
from app.domain.quotas import Margin
from app.services import Services
from app.services.task_service import Submitted


def _empty_is(default: int | None) -> BeforeValidator:
    """`?status=&limit=`, as forms send it, asks for nothing in particular."""
    return BeforeValidator(lambda value: default if value == "" else value)


router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=PROBLEMS)


def created(services: Services, submitted: Submitted, more: Sequence[Margin] = ()) -> Response:
    """202, where the job is, and whether it was there already."""
    headers = {"Location": views.job_path(submitted.job), **rate_limit([*submitted.margins, *more])}
    if submitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return schemas.facts_response(views.job_created(services, submitted.job, joined=submitted.joined), 202, headers)


async def submit(request: Request, client: Client, services: Ours) -> Response:
    """Hand in a file, or parameters only. A 202 means: the bytes and the row are on disk."""
    key = idempotency_key(request)
    with request.app.state.uploads.passing(services.upload, client) as at_once:
        submitted = await services.tasks.submit(
            client, await submission_parts(request, services), key, announced(request)
        )
    count_upload(submitted)
    return created(services, submitted, at_once)


def _submit_as_usual(request: Request) -> Awaitable[Response] | None:
    services: Services = request.app.state.services
    if (key := bearer(request)) is None:
        return None
    client = client_of(services, key)
    return submit(request, client, services) if client else refused()  # who floods us with wrong keys is not to be dear


router.add_api_route(
    "",
    submit,
    methods=["POST"],
    status_code=202,
    response_model=schemas.JobCreationResponse,
    openapi_extra=SUBMISSION,
)
SUBMIT = shortcut(router, _submit_as_usual)


async def look(
    request: Request, job_id: JobIdInPath, services: Ours, wait: Annotated[float, Query(ge=0, le=60)] = 0
) -> Response:
    """The job as it stands; with `wait`, as soon as it differs from `If-None-Match`, or after so many seconds."""
    known = request.headers.get("if-none-match")
    job = await job_after(services, job_id, known, wait, request.receive)
    etag = views.job_etag(services, job)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if known and matches(known, etag):
        return Response(status_code=304, headers=headers)
    return schemas.facts_response(await views.job_now(services, job), 200, headers)


def _look_as_usual(request: Request) -> Awaitable[Response] | None:
    services: Services = request.app.state.services
    if request.scope["query_string"] or not client_of_request(services, request):
        return None
    try:
        job_id = job_id_of(request.path_params["job_id"])
    except JobNotFound:
        return None
    return look(request, job_id, services)


router.add_api_route(
    "/{job_id}",
    look,
    methods=["GET"],
    response_model=schemas.JobInfo,
    dependencies=[Depends(client)],
    responses={304: {"description": "It is the one that is known"}},
)
LOOK = shortcut(router, _look_as_usual)


@router.get("", response_model=schemas.JobList, dependencies=[Depends(client)])
async def page(
    services: Ours,
    status: Annotated[JobStatus | None, _empty_is(None)] = None,
    workflow: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$"), _empty_is(None)] = None,
    limit: Annotated[int, Query(ge=1, le=200), _empty_is(50)] = 50,
    cursor: Annotated[str | None, Query(max_length=500), _empty_is(None)] = None,
) -> Response:
    """Jobs, newest first."""
    found = await services.search.page(status=status, workflow=workflow, limit=limit, cursor=cursor)
    jobs = [await views.job_now(services, job) for job in found.jobs]
    return schemas.facts_response({"jobs": jobs, "next": found.next})


@router.get("/{job_id}/history", response_model=schemas.History, dependencies=[Depends(client)])
async def history(job_id: JobIdInPath, services: Ours) -> Response:
    """Every line that was written about the job, in order."""
    lines = [views.history_event(line) for line in await services.log.history(job_id)]
    return schemas.json_response(schemas.History.model_construct(events=lines))
