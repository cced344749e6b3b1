"""Acting on a job: cancel it, or do it again."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from app.api.auth import Client, JobIdInPath, Ours, client
from app.api.openapi import PROBLEMS
from app.api.v1 import schemas, views
from app.api.v1.jobs import created

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=PROBLEMS)


@router.post("/{job_id}/cancel", response_model=schemas.JobInfo, dependencies=[Depends(client)])
async def cancel(job_id: JobIdInPath, services: Ours) -> Response:
    """End an unfinished job."""
    return schemas.json_response(views.job_info(services, await services.tasks.cancel(job_id)))


@router.post("/{job_id}/retry", status_code=202, response_model=schemas.JobCreationResponse)
async def retry(job_id: JobIdInPath, client: Client, services: Ours) -> Response:
    """Make a new job of one that failed or was cancelled, with the same file and parameters."""
    return created(services, await services.tasks.retry(client, job_id))
