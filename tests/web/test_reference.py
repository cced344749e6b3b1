"""The API's reference: complete, honest, and with nothing from elsewhere."""

from __future__ import annotations

import re

from app.api.openapi_answers import EXAMPLES
from app.api.problems import Problem
from app.api.v1 import schemas
from app.api.v1.callback_payload import check_payload


async def test_the_reference_names_every_operation_and_every_answer(browser):
    description = (await browser.get("/openapi.json")).json()
    answer = await browser.get("/docs")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    for path, item in description["paths"].items():
        for method, operation in item.items():
            start = answer.text.index(f'<article class="slip operation" id="{method}-{path[1:].translate(PLAIN)}"')
            told = answer.text[start : answer.text.index("</article>", start)]
            statuses = set(re.findall(r"<summary><b>(\d+)</b>", told))
            assert statuses == operation["responses"].keys() - {"default"}
            for parameter in operation.get("parameters", ()):
                assert f"<code>{parameter['name']}</code>" in told


PLAIN = str.maketrans({"/": "-", "{": "", "}": ""})


async def test_the_reference_loads_nothing_from_elsewhere(browser):
    text = (await browser.get("/docs")).text
    assert "<script" not in text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert all(address.startswith(("/", "#")) and not address.startswith("//") for address in loaded)
    assert len(text) < 200_000


async def test_every_operation_under_the_api_says_how_it_refuses(browser):
    description = (await browser.get("/openapi.json")).json()
    for path, item in description["paths"].items():
        for operation in item.values():
            assert operation["description"] or operation["summary"]
            if path.startswith("/api/"):
                refused = {status: told for status, told in operation["responses"].items() if status[0] == "4"}
                assert ("401" in refused) == bool(operation.get("security"))
                for status, told in refused.items():
                    example = told["content"]["application/problem+json"]["example"]
                    assert Problem.model_validate(example, extra="forbid").status == int(status)
                    assert told["description"]


def test_examples_are_what_they_are_examples_of():
    for name, example in EXAMPLES.items():
        if name == "JobCallbackPayload":
            assert check_payload(example).callback()
        else:
            getattr(schemas, name).model_validate(example, extra="forbid")
