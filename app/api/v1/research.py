"""Research by the names that people who migrate know: a few lines over the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import accumulate
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.api.auth import Client, Ours, client, job_id_of
from app.api.body import read_body
from app.api.openapi import PROBLEMS
from app.api.strict_json import decode_json
from app.api.v1 import health
from app.api.v1.schemas import Time, json_response
from app.api.v1.submissions import MAX_JSON, idempotency_key, pace_of
from app.domain.errors import FieldProblem, Invalid, JobNotFound
from app.domain.models import FilePart, Job, JobStatus, ParamPart
from app.services import Services

router = APIRouter(prefix="/research", tags=["research"], responses=PROBLEMS)
celery = APIRouter(prefix="/celery/health", tags=["health"])

WORKFLOW = "research"
NEARLY = 0.002  # progress is kept in thousandths
Word = Literal["PENDING", "IN_PROGRESS", "COMPLETED", "FAILED"]
WORDS: dict[JobStatus, Word] = {
    JobStatus.QUEUED: "PENDING",
    JobStatus.PROCESSING: "IN_PROGRESS",
    JobStatus.WAITING: "IN_PROGRESS",
    JobStatus.SUCCESS: "COMPLETED",
    JobStatus.FAILURE: "FAILED",
    JobStatus.CANCELLED: "FAILED",
}


class Topic(BaseModel):
    """What is to be looked into."""

    model_config = ConfigDict(extra="forbid", strict=True)

    topic: str


class Begun(BaseModel):
    """The research was taken in."""

    research_id: UUID
    status: Word
    message: str


class Listed(BaseModel):
    """One research of a list."""

    research_id: UUID
    topic: str
    status: Word
    created_at: Time


class StepInfo(BaseModel):
    """One step and how far it is."""

    step: int
    name: str
    status: Word


class Results(BaseModel):
    """What was found; empty until the research is completed."""

    processed_articles: list[dict[str, Any]] = Field(default_factory=list)
    top_keywords: list[str] = Field(default_factory=list)
    total_articles_processed: int = 0
    synthesis: list[dict[str, Any]] = Field(default_factory=list)


class Research(BaseModel):
    """A research as it stands."""

    research_id: UUID
    topic: str
    status: Word
    workflow_steps: list[StepInfo]
    results: Results
    error: str | None


class Progress(BaseModel):
    """Which of how many steps."""

    current: int
    total: int


class Standing(BaseModel):
    """How far a research is, in words and steps."""

    research_id: UUID
    status: Word
    message: str
    progress: Progress


LISTED = {200: {"headers": {"Link": {"description": "Where the next page is", "schema": {"type": "string"}}}}}
BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": Topic.model_json_schema()}}}}


async def _known(research_id: str, services: Services) -> Job:
    """The research with this id. Raises JobNotFound."""
    job = await services.log.get(job_id_of(research_id))
    if job.workflow != WORKFLOW:
        raise JobNotFound("there is no research with this id")
    return job


@router.post("", status_code=202, response_model=Begun, openapi_extra=BODY)
async def begin(request: Request, client: Client, services: Ours) -> Response:
    """Begin a research about a topic."""
    topic = await _topic(request, services)
    submitted = await services.tasks.submit(client, _parts(topic), idempotency_key(request))
    job = submitted.job
    begun = Begun(research_id=job.job_id, status=word(job), message="The research was taken in and will begin soon.")
    return json_response(begun, 202, {"Location": f"/research/{job.job_id}"})


@router.get("", response_model=list[Listed], dependencies=[Depends(client)], responses=LISTED)  # type: ignore[arg-type]
async def listed(
    services: Ours,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """The newest first; a header `Link` with `rel="next"` leads to those that are older."""
    page = await services.search.page(workflow=WORKFLOW, limit=limit, cursor=cursor)
    found = [
        Listed(research_id=job.job_id, topic=topic_of(job), status=word(job), created_at=job.created_at)
        for job in page.jobs
    ]
    link = {"Link": f'</research?{urlencode({"limit": limit, "cursor": page.next})}>; rel="next"'} if page.next else {}
    return Response(TypeAdapter(list[Listed]).dump_json(found), headers=link, media_type="application/json")


@router.get("/{research_id}", response_model=Research, dependencies=[Depends(client)])
async def whole(research_id: str, services: Ours) -> Response:
    """A research with its steps and results."""
    job = await _known(research_id, services)
    data = job.result.data if isinstance(job.result.data, dict) else {}
    research = Research(
        research_id=job.job_id,
        topic=topic_of(job),
        status=word(job),
        workflow_steps=list(steps_of(job, services)),
        results=Results.model_validate(data),
        error=job.error.detail if job.error else None,
    )
    return json_response(research)


@router.get("/{research_id}/status", response_model=Standing, dependencies=[Depends(client)])
async def standing(research_id: str, services: Ours) -> Response:
    """How far it is."""
    job = await _known(research_id, services)
    steps = list(steps_of(job, services))
    progress = Progress(current=job.progress.step or 0, total=len(steps))
    return json_response(
        Standing(research_id=job.job_id, status=word(job), message=_message(job, steps), progress=progress)
    )


@celery.get("", response_model=health.Readiness, responses={503: {"model": health.Readiness}})
async def celery_health(services: Ours) -> Response:
    """The same as `/health`, where monitors of a Celery service look for it."""
    return await health.ready(services)


def word(job: Job) -> Word:
    """The status as these routes call it: what was begun is in progress, also while it waits for its next try."""
    return "IN_PROGRESS" if job.status is JobStatus.QUEUED and job.attempt else WORDS[job.status]


def topic_of(job: Job) -> str:
    """What was asked for; nothing once the job was erased."""
    return str(job.params.get("topic", ""))


def steps_of(job: Job, services: Services) -> Iterator[StepInfo]:
    """Each step of the workflow: those that are done, the one that the job is at, and the rest."""
    workflow = services.workflows.get(WORKFLOW)
    steps = workflow.steps if workflow else ()
    whole = sum(step.weight for step in steps)
    reached, at_it = (job.progress.fraction or 0) + NEARLY, word(job)
    for number, (step, done) in enumerate(zip(steps, accumulate(step.weight for step in steps), strict=True), 1):
        if at_it == "COMPLETED" or reached >= done / whole:
            yield StepInfo(step=number, name=step.title, status="COMPLETED")
        else:
            yield StepInfo(step=number, name=step.title, status=at_it)
            at_it = "PENDING"  # of those that are left, the job is at the first


def _message(job: Job, steps: list[StepInfo]) -> str:
    now, progress = word(job), job.progress
    if now == "PENDING":
        return "Waiting for a worker"
    if now == "FAILED":
        return job.error.detail if job.error else "The research was cancelled"
    if now == "COMPLETED":
        return job.result.message or "The research is done"
    title = next((step.name for step in steps if step.step == progress.step), "Beginning")
    words = progress.message if progress.message and progress.message != title else "under way"
    return f"Step {progress.step or 1}: {title} - {words.removeprefix(f'{title}: ')}"


async def _topic(request: Request, services: Services) -> str:
    body = decode_json(await read_body(request, pace_of(services.upload), MAX_JSON))
    try:
        return Topic.model_validate(body).topic
    except ValidationError as error:
        problems = [FieldProblem(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
        raise Invalid("the research was refused", problems) from None


async def _parts(topic: str) -> AsyncIterator[ParamPart | FilePart]:
    yield ParamPart("workflow", WORKFLOW)
    yield ParamPart("topic", topic)
