"""Work without a far side: its lists in the form, its Markdown on the slip, its downloads."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from app.domain.lifecycle import Completed, Started
from app.domain.models import Job, JobResult
from app.web.form_fields import form_fields
from app.web.markdown import markdown
from app.web.parameters import about, told
from app.workflows.declaration import local_workflow, step
from tests.api.world import WORKFLOWS
from tests.jobs import LEASE
from tests.web.conftest import OURS


class Wanted(BaseModel):
    topic: str = Field(max_length=500, title="Topic")
    formats: list[Literal["md", "pdf"]] = Field(default=["md"], title="Formats")
    sources: list[str] = Field(default_factory=list, max_length=5, title="Sources", description="Web addresses")
    language: Literal["en", "de"] | None = None
    depth: int = Field(default=2, ge=1, le=5)


async def nothing(work):
    return {}


WORKFLOW = local_workflow("essay", "An essay", Wanted, [step("Write", nothing)], formats=("md", "pdf", "docx"))


@pytest.fixture
def world(world, monkeypatch):
    monkeypatch.setitem(WORKFLOWS, "essay", WORKFLOW)
    return world


def test_lists_and_choices_become_fields():
    fields = {field.name: field for field in form_fields(WORKFLOW)}
    assert {name: field.kind for name, field in fields.items()} == {
        "topic": "text",
        "formats": "several",
        "sources": "lines",
        "language": "choice",
        "depth": "number",
    }
    assert fields["formats"].choices == (("md", "md"), ("pdf", "pdf"))
    assert fields["formats"].default == "md"
    assert fields["language"].choices == (("en", "en"), ("de", "de"))
    assert not fields["language"].required


async def filled(operator, **fields) -> tuple[int, str]:
    page = (await operator.get("/?workflow=essay")).text
    hidden = {name: re.search(f'name="{name}" value="([^"]+)"', page).group(1) for name in ("_csrf", "_once")}
    parts = [*hidden.items(), ("workflow", "essay")]
    for name, value in fields.items():
        several = [(f"{name}:{number}", each) for number, each in enumerate(value)] if isinstance(value, list) else []
        parts += several or [(name, value)]
    answer = await operator.post("/hand-in", files=[(name, (None, value)) for name, value in parts], headers=OURS)
    return answer.status_code, answer.headers.get("location", answer.text)


async def handed_in(world) -> Job:
    return (await world.services.search.page()).jobs[0]


async def test_a_form_with_lists_is_handed_in(operator, world):
    status, where = await filled(
        operator, topic="Owls", formats=["md", "pdf"], sources="https://a.example\n\n https://b.example ", language=""
    )
    assert status == 303, where
    assert dict((await handed_in(world)).params) == {
        "topic": "Owls",
        "formats": ["md", "pdf"],
        "sources": ["https://a.example", "https://b.example"],
        "language": None,
        "depth": 2,
    }


async def test_what_was_entered_in_lists_stays_when_a_field_is_refused(operator):
    status, page = await filled(operator, topic="", formats=["pdf"], sources="one\ntwo", depth="9")
    assert status == 422
    assert re.search(r'value="pdf" checked', page)
    assert not re.search(r'value="md" checked', page)
    assert ">one\ntwo</textarea>" in page


TEXT = """# Owls

See [a page](https://owl.example/?a=1&b=2), [a trap](javascript:alert(1)) and ![a picture](https://spy.example/x.png).

They hunt at night.[^1] They hear well.[^1]

[^1]: Owls (owls.txt), 2026

<script>alert(1)</script> <b onclick=x>bold</b>

| Name | Size |
| --- | --- |
| Barn owl | 34 cm |
"""


async def test_markdown_is_shown_and_can_do_nothing(operator, world):
    await filled(operator, topic="Owls")
    job = await handed_in(world)
    await world.advance(job.job_id, Started(lease=LEASE))
    data = {"markdown": TEXT, "formats": ["md", "pdf"], "words": 31}
    await world.advance(job.job_id, Completed(result=JobResult(message="Written", data=data)))
    page = (await operator.get(world.link(job.job_id))).text
    assert "<h3>Owls</h3>" in page
    assert '<a href="https://owl.example/?a=1&amp;b=2" rel="noreferrer noopener nofollow">a page</a>' in page
    assert "<td>34 cm</td>" in page
    assert '<sup class="footnote-ref"><a href="#fn1" id="fnref1">[1]</a></sup>' in page
    assert 'id="fnref1:1">[1]</a></sup>' in page
    assert re.search(r'<li id="fn1"[^>]*>\s*<p>Owls \(owls.txt\)', page)
    prose = page[page.index('class="prose"') : page.index("</section>", page.index('class="prose"'))]
    assert not re.search(r"<(script|b|img)\b", prose)
    assert "javascript:" not in re.sub(r">[^<]*<", "><", prose)
    links = re.findall(r'href="(/api/v1/reports/[^"]+)" download', page)
    assert [re.search(r"format=(\w+)", link).group(1) for link in links] == ["md", "pdf"]
    assert all("token=" in link for link in links)


def test_headings_begin_below_those_of_the_page():
    assert markdown("## a\n\n# b\n\n###### c") == "<h4>a</h4>\n<h3>b</h3>\n<h6>c</h6>\n"
    assert markdown("plain & simple") == "<p>plain &amp; simple</p>\n"


async def test_work_of_our_own_is_taken_up_and_called_by_what_it_is_about(operator, world):
    await filled(operator, topic="Owls", formats=["md", "pdf"], sources="", language="")
    job = await handed_in(world)
    await world.advance(job.job_id, Started(lease=LEASE))
    page = (await operator.get(world.link(job.job_id))).text
    assert "<h1>Owls</h1>" in page
    for words in ("Taken up", "At work", "A worker is at it.", "<dt>Formats</dt><dd>md, pdf</dd>"):
        assert words in page
    for words in ("Handed over", "Being handed over", "<dt>Sources</dt>", "<dt>Language</dt>"):
        assert words not in page


def test_parameters_are_told_in_words_also_of_a_workflow_that_is_gone():
    params = {"depth": 2, "topic": "Owls", "deep": True, "extra": {"a": [1, None]}, "sources": []}
    assert told(WORKFLOW, params) == [
        *(("Topic", "Owls"), ("Depth", "2")),
        *(("deep", "yes"), ("extra", "a: 1")),
    ]
    assert told(None, {"deep": False}) == [("deep", "no")]
    assert about(None, {"depth": 2, "topic": "Owls"}) == "Owls"
    assert about(None, {"depth": 2, "topic": " "}) == ""
