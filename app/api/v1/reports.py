"""Reports, in the words of those who ask for one. Behind it is a job like any other."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from app.api.auth import Client, JobIdInPath, Ours, Reader, client
from app.api.dispositions import attachment
from app.api.openapi import PROBLEMS
from app.api.v1 import schemas, views
from app.api.v1.jobs import created
from app.api.v1.submissions import idempotency_key, submission_of
from app.domain.errors import FieldProblem, Invalid, NotFound
from app.domain.models import Job, JobStatus, Json
from app.domain.signing import Scope
from app.services import Services

router = APIRouter(prefix="/api/v1", tags=["reports"], responses=PROBLEMS)

KINDS = frozenset({"report", "document_report"})
_STATUS: dict[JobStatus, Literal["pending", "processing", "completed", "failed"]] = {
    JobStatus.QUEUED: "pending",
    JobStatus.PROCESSING: "processing",
    JobStatus.WAITING: "processing",
    JobStatus.SUCCESS: "completed",
    JobStatus.FAILURE: "failed",
    JobStatus.CANCELLED: "failed",
}
_NOT_IN_A_NAME = re.compile(r"[^\w]+")
_ASKED = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}
_FILE = {200: {"description": "The report", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}}


class ReportInfo(BaseModel):
    """A report that is made or being made. `progress` goes from 0.0 to 1.0; `report` is there once it is completed."""

    job_id: UUID
    status: Literal["pending", "processing", "completed", "failed"]
    progress: float
    step: str | None
    eta: schemas.EstimateInfo | None
    topic: str | None
    created_at: datetime
    completed_at: datetime | None
    error: str | None
    report: Any
    links: dict[str, str]


class TemplateSection(BaseModel):
    """A section of a template."""

    name: str
    heading: str
    instructions: str


class TemplateInfo(BaseModel):
    """A kind of report."""

    name: str
    title: str
    description: str
    sections: list[TemplateSection]


class TemplateList(BaseModel):
    """The kinds of reports there are."""

    templates: list[TemplateInfo]


@router.post("/reports", status_code=202, response_model=schemas.JobCreationResponse, openapi_extra=_ASKED)
async def submit(request: Request, client: Client, services: Ours) -> Response:
    """Ask for a report: `{"topic": ..., "template"?, "sections"?, "language"?, "formats"?, "sources"?}`."""
    parts = await submission_of("report", request, services)
    return created(services, await services.tasks.submit(client, parts, idempotency_key(request)))


@router.get("/reports/{job_id}", response_model=ReportInfo, dependencies=[Depends(client)])
async def look(job_id: JobIdInPath, services: Ours) -> Response:
    """The report as it stands."""
    job = await _report(services, job_id)
    return schemas.json_response(await _info(services, job), 200, {"Cache-Control": "private, no-cache"})


@router.get(
    "/reports/{job_id}/download",
    response_class=Response,
    dependencies=[Depends(Reader(Scope.PAGE))],
    responses=_FILE,  # type: ignore[arg-type]
)
async def download(
    job_id: JobIdInPath, services: Ours, form: Annotated[str, Query(alias="format", max_length=20)] = "md"
) -> Response:
    """The finished report as a file: md, html, pdf or docx."""
    made = _made(await _report(services, job_id))
    if form not in made["formats"] or form not in services.renderers:
        raise Invalid("no such format", [FieldProblem("format", f"must be one of {', '.join(made['formats'])}")])
    renderer = services.renderers[form]
    content = await renderer.render(made["title"], made["markdown"], made["language"])
    name = _NOT_IN_A_NAME.sub("-", made["title"]).strip("-")[:80] or "report"
    headers = {"Content-Disposition": attachment(f"{name}.{form}"), "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers | {"Content-Type": renderer.media_type, "Cache-Control": "private"})


@router.get("/report-templates", response_model=TemplateList, dependencies=[Depends(client)])
async def templates(services: Ours) -> TemplateList:
    """The kinds of reports there are, with the names of their sections."""
    found = services.report_templates.all() if services.report_templates else ()
    return TemplateList.model_validate({"templates": found}, from_attributes=True)


async def _report(services: Services, job_id: JobIdInPath) -> Job:
    job = await services.log.get(job_id)
    if job.workflow not in KINDS:
        raise NotFound("this job makes no report")
    return job


def _made(job: Job) -> dict[str, Any]:
    if job.status is not JobStatus.SUCCESS or not isinstance(job.result.data, dict):
        raise NotFound("there is no finished report here (yet)")
    return job.result.data


async def _info(services: Services, job: Job) -> ReportInfo:
    estimate = (await views.job_now(services, job))["estimate"]
    done = job.status is JobStatus.SUCCESS
    return ReportInfo.model_construct(
        job_id=job.job_id,
        status=_STATUS[job.status],
        progress=1.0 if done else job.progress.fraction or 0.0,
        step=job.progress.message,
        eta=schemas.EstimateInfo(**estimate) if estimate else None,
        topic=_text(job.params.get("topic")),
        created_at=job.created_at,
        completed_at=job.completed_at,
        error=job.error.detail if job.error else "cancelled" if job.status is JobStatus.CANCELLED else None,
        report=job.result.data if done else None,
        links=_links(services, job),
    )


def _links(services: Services, job: Job) -> dict[str, str]:
    known = views.links(services, job)
    here = f"/api/v1/reports/{job.job_id}"
    links = {"self": here, "job": known.self, "events": known.events, "page": known.page}
    if job.status is JobStatus.SUCCESS and isinstance(job.result.data, dict):
        token = known.page.rpartition("?")[2]
        links |= {form: f"{here}/download?format={form}&{token}" for form in _made(job)["formats"]}
    return {name: link for name, link in links.items() if link}


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None
