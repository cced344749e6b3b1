"""Handing in on the page: streamed like any upload, from our own form only, refusals where they belong."""

from __future__ import annotations

import re

import pytest

from app.domain.workflow import FileRules, Workflow
from app.web.form_fields import form_fields
from tests.web.conftest import OURS

FILE = ("receipt.txt", b"12 coffees, 34.00")
EVIL = '"><script>alert(1)</script>'
SCRIPTED = OURS | {"Accept": "application/json"}


async def own_fields(browser, workflow: str = "") -> dict[str, str]:
    text = (await browser.get("/", params={"workflow": workflow})).text
    names = ("_csrf", "_once", "workflow")
    return {name: re.search(f'name="{name}" value="([^"]*)"', text)[1] for name in names}


def parts(fields, file=FILE, **more):
    texts = [(name, (None, value)) for name, value in (fields | more).items()]
    return texts + ([("file", file)] if file else [])


async def test_a_form_without_a_script_leads_to_the_ticket(operator, world):
    answer = await operator.post("/hand-in", files=parts(await own_fields(operator)), headers=OURS)
    assert answer.status_code == 303
    ticket = await operator.get(answer.headers["location"])
    assert "receipt.txt" in ticket.text
    page = await world.services.search.page()
    assert [job.client for job in page.jobs] == ["ada"]


async def test_a_script_is_told_where_the_ticket_is(operator):
    answer = await operator.post("/hand-in", files=parts(await own_fields(operator)), headers=SCRIPTED)
    assert answer.status_code == 202
    assert answer.json()["location"] == answer.headers["location"]
    assert (await operator.get(answer.json()["location"])).status_code == 200


async def test_sending_the_same_form_twice_makes_one_job(operator, world):
    form = parts(await own_fields(operator))
    first = await operator.post("/hand-in", files=form, headers=OURS)
    second = await operator.post("/hand-in", files=form, headers=OURS)
    assert first.headers["location"] == second.headers["location"]
    assert len((await world.services.search.page()).jobs) == 1


async def test_who_is_not_logged_in_hands_in_nothing(browser, world):
    answer = await browser.post("/hand-in", files=parts({"_csrf": "x", "_once": "y" * 20}), headers=OURS)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/"
    assert (await browser.post("/hand-in", files=parts({}), headers=SCRIPTED)).status_code == 401
    assert world.files() == []


async def test_a_form_that_is_not_ours_hands_in_nothing(operator, world):
    fields = await own_fields(operator)
    wrong = [fields | {"_csrf": "0" * 64}, fields | {"_once": "short"}, {"workflow": "any"}, {}]
    for changed in wrong:
        assert (await operator.post("/hand-in", files=parts(changed), headers=OURS)).status_code == 403
    elsewhere = await operator.post("/hand-in", files=parts(fields), headers={"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 403
    late = [("file", FILE), *parts(fields, file=None)]
    assert (await operator.post("/hand-in", files=late, headers=OURS)).status_code == 403
    assert world.files() == []


async def test_another_persons_form_is_not_mine(operator, browser):
    fields = await own_fields(operator)
    browser.cookies.clear()
    await browser.post("/login", data={"key": "bob-key-0123456789abcdefgh"}, headers=OURS)
    assert (await browser.post("/hand-in", files=parts(fields), headers=OURS)).status_code == 403


async def test_a_refused_field_is_told_beside_it_and_what_was_entered_stays(operator, world):
    fields = await own_fields(operator, "any")
    answer = await operator.post("/hand-in", files=parts(fields, question=EVIL), headers=OURS)
    assert answer.status_code == 422
    assert "Nothing was handed in." in answer.text
    assert "is no parameter of this workflow" in answer.text
    assert "<script>alert" not in answer.text
    assert world.files() == []


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"x" * 160_000, 413), (b"%PDF-1.7\n1 0 obj", 415)])
async def test_a_refused_file_is_told_with_the_form(operator, content, status):
    fields = await own_fields(operator)
    answer = await operator.post("/hand-in", files=parts(fields, ("a.bin", content)), headers=OURS)
    assert answer.status_code == status
    assert "The file has to be chosen again." in answer.text
    scripted = await operator.post("/hand-in", files=parts(fields, ("a.bin", content)), headers=SCRIPTED)
    assert scripted.status_code == status
    assert scripted.json()["detail"]


async def test_each_workflow_has_its_own_form(operator):
    text = (await operator.get("/")).text
    assert "Any file" in text
    assert 'id="field-notion_database_id"' in text
    assert 'accept="image/png, text/plain' in text
    question = (await operator.get("/?workflow=question")).text
    assert 'type="file"' not in question


async def test_a_workflow_without_a_file_takes_the_form_alone(operator, world):
    form = parts(await own_fields(operator, "question"), None, question="How many lines has it?")
    answer = await operator.post("/hand-in", files=form, headers=OURS)
    assert answer.status_code == 303
    assert "How many lines has it?" in (await operator.get(answer.headers["location"])).text


async def test_too_many_uploads_at_once_are_told_when_to_come_back(operator, world):
    world.services.upload  # noqa: B018 - open
    gate = operator._transport.app.state.uploads
    gate.under_way = world.services.upload.max_concurrent
    answer = await operator.post("/hand-in", files=parts(await own_fields(operator)), headers=OURS)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    gate.under_way = 0


def test_fields_come_from_the_declaration():
    schema = {
        "required": ["cost_centre"],
        "properties": {
            "cost_centre": {"type": "string", "title": "Cost centre", "description": "Four digits", "maxLength": 4},
            "copies": {"type": "integer", "minimum": 1, "maximum": 9, "default": 1},
            "share": {"type": "number", "maximum": 0.5},
            "colour": {"enum": ["red", "green"]},
            "one": {"const": "only"},
            "urgent": {"type": "boolean", "default": False},
            "strange": True,
        },
    }
    workflow = Workflow(name="w", title="W", schema=schema, check=dict, file=FileRules(max_size=9))
    fields = {field.name: field for field in form_fields(workflow)}
    assert [field.kind for field in fields.values()] == [
        "text",
        "number",
        "number",
        "choice",
        "choice",
        "choice",
        "text",
    ]
    centre, copies = fields["cost_centre"], fields["copies"]
    assert (centre.label, centre.hint, centre.required, centre.max_length) == ("Cost centre", "Four digits", True, 4)
    assert (copies.minimum, copies.maximum, copies.default, copies.step) == ("1", "9", "1", "1")
    assert copies.hint == "1 to 9"
    assert fields["share"].hint == "at most 0.5"
    assert fields["urgent"].default == "false"


def test_a_question_has_room():
    schema = {"properties": {"question": {"type": "string", "maxLength": 10_000}, "tag": {"maxLength": 20}}}
    fields = form_fields(Workflow(name="w", title="W", schema=schema, check=dict))
    assert [field.kind for field in fields] == ["long", "text"]
