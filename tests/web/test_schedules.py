"""Schedules as a page: made from a workflow's own fields, paused, resumed, removed, and what became of the last time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal
from uuid import uuid4

import httpx
import pytest

from app.domain.models import Json
from app.domain.work import Work
from app.workflows.declaration import local_workflow, step
from tests.api.world import WORKFLOWS
from tests.web.conftest import OURS, Site

PATH = "/ops/schedules"
WANTED = {"_workflow": "ask", "_cron": "0 7 * * 1", "_timezone": "Europe/Berlin", "question": " why? "}


@dataclass
class Question:
    """What the work is about."""

    question: str
    wings: list[Literal["north", "south", "attic"]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


async def look(work: Work) -> Json:
    return str(work)


@pytest.fixture(autouse=True)
def with_a_workflow_that_wants_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORKFLOWS, "ask", local_workflow("ask", "Ask around", Question, [step("Look", look)]))


async def sent(operator: httpx.AsyncClient, path: str, values: dict[str, str]) -> httpx.Response:
    csrf = re.search(r'name="csrf" value="([^"]*)"', (await operator.get(PATH)).text)
    assert csrf
    return await operator.post(path, data={"csrf": csrf[1]} | values, headers=OURS)


async def test_a_schedule_is_made_seen_paused_resumed_and_removed(operator: httpx.AsyncClient, world: Site) -> None:
    assert "No schedule yet." in (await operator.get(PATH)).text
    lists = {"wings:1": "north", "wings:3": "attic", "names": "Ada\r\n\r\nBob "}
    made = await sent(operator, PATH, WANTED | lists)
    assert (made.status_code, made.headers["location"]) == (303, f"{PATH}?said=added")
    (schedule,) = await world.services.schedules.all()
    assert (schedule.client, schedule.cron, schedule.timezone) == ("ada", "0 7 * * 1", "Europe/Berlin")
    assert schedule.params == {"question": "why?", "wings": ["north", "attic"], "names": ["Ada", "Bob"]}
    page = (await operator.get(made.headers["location"])).text
    for words in (
        "The schedule was made.",
        "Ask around",
        "why? · north, attic · Ada, Bob",
        "0 7 * * 1",
        "Europe/Berlin",
        "not yet",
        ">Pause<",
    ):
        assert words in page
    act = f"{PATH}/{schedule.schedule_id}"
    assert (await sent(operator, f"{act}/pause", {})).headers["location"] == f"{PATH}?said=paused"
    page = (await operator.get(PATH)).text
    assert "Paused" in page
    assert ">Resume<" in page
    assert (await sent(operator, f"{act}/resume", {})).headers["location"] == f"{PATH}?said=resumed"
    assert (await world.services.schedules.all())[0].due_at == schedule.due_at
    assert (await sent(operator, f"{act}/remove", {})).headers["location"] == f"{PATH}?said=removed"
    assert (await sent(operator, f"{act}/remove", {})).headers["location"] == f"{PATH}?said=gone"
    assert await world.services.schedules.all() == []


async def test_what_became_of_the_last_time_is_told(operator: httpx.AsyncClient, world: Site) -> None:
    await sent(operator, PATH, WANTED | {"_cron": "* * * * *"})
    world.clock.ahead += timedelta(minutes=2)
    assert await world.services.schedules.sweep() == 1
    (schedule,) = await world.services.schedules.all()
    assert f'href="/ops/jobs/{schedule.job_id}"' in (await operator.get(PATH)).text
    book = world.services.schedules._book
    await book.change(replace(schedule, version=schedule.version + 1, problem="question is required"))
    assert "question is required" in (await operator.get(PATH)).text


async def test_a_refusal_stands_beside_its_field_and_loses_nothing(operator: httpx.AsyncClient, world: Site) -> None:
    for changes, name in (({"_cron": "often"}, "cron"), ({"_timezone": "Mars/Base"}, "timezone")):
        refused = await sent(operator, PATH, WANTED | changes)
        assert refused.status_code == 422
        assert re.search(rf'id="wrong-{name}"[^>]*>[^<]', refused.text)
        assert "why?" in refused.text
    refused = await sent(operator, PATH, {**WANTED, "question": "", "wings:2": "south"})
    assert re.search(r'value="south" checked', refused.text)
    assert re.search(r'id="wrong-question"[^>]*>[^<]', refused.text)
    refused = await sent(operator, PATH, WANTED | {"_workflow": "n8n_notion"})
    assert "which a schedule does not have" in refused.text
    assert await world.services.schedules.all() == []


async def test_a_schedule_is_not_touched_by_another_sites_form(operator: httpx.AsyncClient, world: Site) -> None:
    await sent(operator, PATH, WANTED)
    (schedule,) = await world.services.schedules.all()
    act = f"{PATH}/{schedule.schedule_id}"
    assert (await operator.post(f"{act}/remove", data={"csrf": "x"}, headers=OURS)).status_code == 403
    csrf = re.search(r'name="csrf" value="([^"]*)"', (await operator.get(PATH)).text)
    assert csrf
    evil = {"Sec-Fetch-Site": "cross-site"}
    assert (await operator.post(f"{act}/remove", data={"csrf": csrf[1]}, headers=evil)).status_code == 403
    assert (await sent(operator, f"{act}/explode", {})).status_code == 404
    assert (await sent(operator, f"{PATH}/{uuid4()}/pause", {})).headers["location"] == f"{PATH}?said=gone"
    assert await world.services.schedules.all() == [schedule]


async def test_the_form_has_the_fields_of_the_chosen_workflow(operator: httpx.AsyncClient) -> None:
    page = (await operator.get(f"{PATH}?workflow=ask")).text
    assert 'name="question"' in page
    assert {name for name, each in WORKFLOWS.items() if each.file is not None and f'value="{name}"' in page} == set()
