"""`/ops/schedules`: work by the calendar, seen, stopped, ended and begun. For operators only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from app.domain.errors import ScheduleNotFound
from app.domain.models import Json
from app.domain.schedules import Schedule
from app.domain.workflow import Workflow
from app.services import Services
from app.web import parameters
from app.web.failures import Refusal, show_again
from app.web.form_fields import FormField, form_fields
from app.web.gate import Operator, OperatorsForm, Ours, same_site
from app.web.rendering import page
from app.web.sessions import Session

router = APIRouter(include_in_schema=False)

# The form's own fields; no parameter of a workflow begins with an underscore.
_WORKFLOW, _CRON, _TIMEZONE = "_workflow", "_cron", "_timezone"
_SAID = {
    "added": "The schedule was made.",
    "paused": "Nothing is handed in by it until it is resumed.",
    "resumed": "It goes on with the next time from now.",
    "removed": "The schedule was removed. Jobs that it handed in go on.",
    "gone": "This schedule had been removed already.",
}
same_origin = Depends(same_site)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One schedule for people."""

    schedule: Schedule
    title: str
    params: str


@router.get("/ops/schedules")
async def schedules(
    request: Request,
    services: Ours,
    session: Operator,
    workflow: Annotated[str, Query(max_length=200)] = "",
    said: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Every schedule, and the form for another."""
    known = await services.schedules.all()
    return _page(request, services, session, known, {_WORKFLOW: workflow}, said=_SAID.get(said, ""))


@router.post("/ops/schedules", dependencies=[same_origin])
async def add(request: Request, services: Ours, session: Operator, form: OperatorsForm) -> Response:
    """Makes a schedule of what was filled in."""
    known = await services.schedules.all()
    values = {name: "\n".join(given) for name, given in form.items()}
    workflow = services.workflows.get(values.get(_WORKFLOW, ""))
    fields = form_fields(workflow) if workflow else []
    values |= {field.name: _several(field, form) for field in fields if field.kind == "several"}
    show_again(request, lambda refusal: _page(request, services, session, known, values, refusal))
    await services.schedules.add(
        session.client,
        values.get(_CRON, "").strip(),
        values.get(_TIMEZONE, "").strip(),
        values.get(_WORKFLOW, ""),
        {field.name: value for field in fields if (value := _value(field, values))},
    )
    return _back("added")


@router.post("/ops/schedules/{schedule_id}/{act}", dependencies=[same_origin])
async def change(schedule_id: UUID, act: str, services: Ours, form: OperatorsForm) -> Response:  # noqa: ARG001 - checked by being asked for
    """Pauses, resumes or removes one."""
    acts = {
        "pause": (services.schedules.pause, "paused"),
        "resume": (services.schedules.resume, "resumed"),
        "remove": (services.schedules.remove, "removed"),
    }
    if act not in acts:
        raise ScheduleNotFound("There is nothing like this to do with a schedule.")
    do, said = acts[act]
    try:
        await do(schedule_id)
    except ScheduleNotFound:
        said = "gone"
    return _back(said)


def _back(said: str) -> Response:
    return RedirectResponse(f"/ops/schedules?said={said}", 303)


def _several(field: FormField, form: Mapping[str, list[str]]) -> str:
    """What was ticked, one a line, as other lists come."""
    return "\n".join(value for name, given in form.items() if name.partition(":")[0] == field.name for value in given)


def _value(field: FormField, values: Mapping[str, str]) -> Json:
    """A parameter as the workflow takes it; nothing for a field that was left empty."""
    text = values.get(field.name, "").strip()
    if field.kind in ("several", "lines"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    return text


def _page(
    request: Request,
    services: Services,
    session: Session,
    known: list[Schedule],
    values: dict[str, str],
    refusal: Refusal | None = None,
    said: str = "",
) -> Response:
    possible = sorted((each for each in services.workflows.values() if each.file is None), key=lambda each: each.title)
    chosen = next((each for each in possible if each.name == values.get(_WORKFLOW)), next(iter(possible), None))
    fields = form_fields(chosen) if chosen else []
    named = {"cron", "timezone", *(each.name for each in fields)}
    return page(
        request,
        "schedules.html",
        refusal.status if refusal else 200,
        visitor=session,
        views=[_view(services.workflows, each) for each in known],
        possible=possible,
        chosen=chosen,
        fields=fields,
        values=values,
        refusal=refusal,
        elsewhere=[each for each in refusal.fields if each.field not in named] if refusal else [],
        said=said,
        csrf=session.csrf,
    )


def _view(workflows: Mapping[str, Workflow], schedule: Schedule) -> View:
    workflow = workflows.get(schedule.workflow)
    return View(
        schedule=schedule,
        title=workflow.title if workflow else schedule.workflow,
        params=" · ".join(words for _, words in parameters.told(workflow, schedule.params)),
    )
