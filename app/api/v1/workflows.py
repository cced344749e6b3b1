"""What can be asked for."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app.api.auth import Ours, client
from app.api.openapi import PROBLEMS
from app.api.v1.schemas import json_response
from app.domain.workflow import Workflow

router = APIRouter(prefix="/api/v1/workflows", tags=["workflows"], responses=PROBLEMS)


class FileRulesInfo(BaseModel):
    """Which file a workflow wants."""

    media_types: list[str]
    max_size: int


class WorkflowInfo(BaseModel):
    """One kind of work: its parameters as JSON Schema, and its file, or null where it takes none."""

    name: str
    title: str
    parameters: dict[str, Any]
    file: FileRulesInfo | None


class WorkflowList(BaseModel):
    """Every workflow of this service."""

    workflows: list[WorkflowInfo]


@router.get("", response_model=WorkflowList, dependencies=[Depends(client)])
async def workflows(services: Ours) -> Response:
    """Every workflow with what it takes."""
    infos = [_info(workflow, services.upload.max_size) for workflow in services.workflows.values()]
    return json_response(WorkflowList(workflows=sorted(infos, key=lambda info: info.name)))


def _info(workflow: Workflow, most: int) -> WorkflowInfo:
    rules = workflow.file
    file = FileRulesInfo(media_types=list(rules.media_types), max_size=min(rules.max_size, most)) if rules else None
    return WorkflowInfo(name=workflow.name, title=workflow.title, parameters=dict(workflow.schema), file=file)
