"""Work by the calendar: make a schedule, see all, pause, resume and remove one."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from app.api.auth import Client, Ours, client
from app.api.body import read_body
from app.api.openapi import PROBLEMS
from app.api.strict_json import decode_json
from app.api.v1.schemas import Time, json_response
from app.api.v1.submissions import MAX_JSON, pace_of
from app.domain.errors import FieldProblem, Invalid, ScheduleNotFound
from app.domain.schedules import Schedule
from app.services import Services

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"], responses=PROBLEMS)


class ScheduleRequest(BaseModel):
    """When (five fields of cron, in a zone of the IANA database), and what is handed in then."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cron: str
    timezone: str = "UTC"
    workflow: str
    params: dict[str, Any] = {}


class ScheduleInfo(BaseModel):
    """A schedule as it stands: `due_at` is the next time, null while paused; `job_id` is the last job, `problem` why
    there was none."""

    schedule_id: UUID
    cron: str
    timezone: str
    workflow: str
    params: dict[str, Any]
    paused: bool
    created_at: Time
    due_at: Time | None
    fired_at: Time | None
    job_id: UUID | None
    problem: str | None


class ScheduleList(BaseModel):
    """Every schedule, the oldest first."""

    schedules: list[ScheduleInfo]


async def known_schedule_id(schedule_id: str) -> UUID:
    """The id in this request's path. Raises ScheduleNotFound."""
    try:
        return UUID(schedule_id)
    except ValueError:
        raise ScheduleNotFound("no schedule has this id") from None


ScheduleIdInPath = Annotated[UUID, Depends(known_schedule_id)]
BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": ScheduleRequest.model_json_schema()}}}
}


@router.post("", status_code=201, response_model=ScheduleInfo, openapi_extra=BODY)
async def add(request: Request, client: Client, services: Ours) -> Response:
    """Have a job handed in whenever the line comes true."""
    wanted = await _wanted(request, services)
    schedule = await services.schedules.add(client, wanted.cron, wanted.timezone, wanted.workflow, wanted.params)
    return json_response(_info(schedule), 201, {"Location": f"/api/v1/schedules/{schedule.schedule_id}"})


@router.get("", response_model=ScheduleList, dependencies=[Depends(client)])
async def schedules(services: Ours) -> Response:
    """Every schedule."""
    return json_response(ScheduleList(schedules=[_info(one) for one in await services.schedules.all()]))


@router.post("/{schedule_id}/pause", response_model=ScheduleInfo, dependencies=[Depends(client)])
async def pause(schedule_id: ScheduleIdInPath, services: Ours) -> Response:
    """Nothing is handed in until it is resumed."""
    return json_response(_info(await services.schedules.pause(schedule_id)))


@router.post("/{schedule_id}/resume", response_model=ScheduleInfo, dependencies=[Depends(client)])
async def resume(schedule_id: ScheduleIdInPath, services: Ours) -> Response:
    """Go on with the next time from now."""
    return json_response(_info(await services.schedules.resume(schedule_id)))


@router.delete("/{schedule_id}", status_code=204, dependencies=[Depends(client)])
async def remove(schedule_id: ScheduleIdInPath, services: Ours) -> Response:
    """End it. Jobs that it handed in go on."""
    await services.schedules.remove(schedule_id)
    return Response(status_code=204)


async def _wanted(request: Request, services: Services) -> ScheduleRequest:
    body = decode_json(await read_body(request, pace_of(services.upload), MAX_JSON))
    try:
        return ScheduleRequest.model_validate(body)
    except ValidationError as error:
        problems = [FieldProblem(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
        raise Invalid("the schedule was refused", problems) from None


def _info(schedule: Schedule) -> ScheduleInfo:
    return ScheduleInfo(
        schedule_id=schedule.schedule_id,
        cron=schedule.cron,
        timezone=schedule.timezone,
        workflow=schedule.workflow,
        params=dict(schedule.params),
        paused=schedule.due_at is None,
        created_at=schedule.created_at,
        due_at=schedule.due_at,
        fired_at=schedule.fired_at,
        job_id=schedule.job_id,
        problem=schedule.problem,
    )
