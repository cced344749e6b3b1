"""What a callback may say."""

from __future__ import annotations

import pytest

from app.api.v1.callback_payload import MAX_RESULT, MAX_TEXT, check_payload, read_fields
from app.domain.errors import Invalid, Malformed
from app.domain.models import JobResult, Progress
from tests.api.forms import CONTENT_TYPE, form, part

FORM = "application/x-www-form-urlencoded"


def test_progress_is_read():
    fields = {"status": "processing", "progress": 0.4, "step": 2, "steps": 5, "message": "Creating the page"}
    callback = check_payload(fields).callback()
    assert callback.progress == Progress(fraction=0.4, step=2, steps=5, message="Creating the page")


def test_a_result_is_read():
    fields = {
        "status": "success",
        "result_message": "ok",
        "notion_page_url": "https://www.notion.so/x",
        "result": {"a": 1},
    }
    callback = check_payload(fields).callback()
    assert callback.result == JobResult(message="ok", notion_page_url="https://www.notion.so/x", data={"a": 1})


def test_numbers_may_be_text_and_unknown_fields_are_ignored():
    fields = {"status": "processing", "progress": "0.4", "step": "2", "steps": " 5 ", "execution_id": 17, "extra": [1]}
    callback = check_payload(fields).callback()
    assert callback.progress == Progress(fraction=0.4, step=2, steps=5)
    assert callback.execution_id == "17"


def test_null_and_empty_text_are_nothing():
    nothing = dict.fromkeys(["progress", "step", "steps", "notion_page_url", "execution_id", "error"], "")
    for fields in (nothing, dict.fromkeys(nothing)):
        callback = check_payload({"status": "success", **fields}).callback()
        assert (callback.progress, callback.result) == (Progress(), JobResult())
        assert (callback.error, callback.execution_id) == (None, None)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("plain words", "plain words"),
        (
            {"message": "Bad request", "description": "database not found", "httpCode": "404"},
            "database not found (HTTP 404)",
        ),
        ({"message": "Bad request", "description": None, "httpCode": 400}, "Bad request (HTTP 400)"),
        ({"message": "The service refused"}, "The service refused"),
        ({"node": {"name": "Notion"}}, "an error without words"),
        ("x" * (MAX_TEXT + 5), "x" * MAX_TEXT),
    ],
)
def test_an_error_is_told_in_the_far_sides_own_words(error, words):
    assert check_payload({"status": "failure", "error": error}).callback().error == words


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "failed"),
        ("status", None),
        ("status", 1),
        ("progress", 1.01),
        ("progress", -0.1),
        ("progress", True),
        ("progress", "NaN"),
        ("progress", "inf"),
        ("progress", "1_0"),
        ("progress", "half"),
        ("progress", [1]),
        ("step", -1),
        ("step", 1.5),
        ("step", "1.5"),
        ("step", 10**9),
        ("steps", 0),
        ("message", 5),
        ("notion_page_url", "javascript:alert(1)"),
        ("notion_page_url", "https://"),
        ("notion_page_url", "https://[x"),
        ("notion_page_url", "https://a b"),
        ("notion_page_url", "https://a/" + "x" * 2048),
        ("notion_page_url", 5),
        ("result", "x" * MAX_RESULT),
        ("error", 5),
        ("error", ["x"]),
        ("execution_id", "x" * 129),
        ("execution_id", True),
        ("execution_id", {}),
    ],
)
def test_a_wrong_field_is_named(field, value):
    with pytest.raises(Invalid) as refused:
        check_payload({"status": "processing", field: value})
    assert [problem.field for problem in refused.value.problems] == [field]
    assert refused.value.problems[0].message


def test_every_wrong_field_is_named():
    with pytest.raises(Invalid) as refused:
        check_payload({"progress": 2, "step": -1, "message": 1})
    assert {problem.field for problem in refused.value.problems} == {"status", "progress", "step", "message"}


def test_a_step_beyond_the_last_is_refused():
    with pytest.raises(Invalid) as refused:
        check_payload({"status": "processing", "step": 3, "steps": 2})
    assert [problem.field for problem in refused.value.problems] == ["step"]


async def test_a_form_is_read():
    body = b"status=success&result_message=Gr%C3%BC%C3%9Fe+all&result=%7B%22a%22%3A+1%7D&progress=0.5"
    fields = await read_fields(FORM, body)
    assert fields == {"status": "success", "result_message": "Grüße all", "result": {"a": 1}, "progress": "0.5"}


async def test_a_result_in_a_form_may_be_plain_text_and_an_error_an_object():
    fields = await read_fields(FORM, b'status=failure&result=done+{&error={"message":"no"}')
    assert fields["result"] == "done {"
    assert fields["error"] == {"message": "no"}


async def test_a_multipart_form_is_read():
    body = form(part("status", b"success"), part("result", b"[1]"))
    assert await read_fields(CONTENT_TYPE, body) == {"status": "success", "result": [1]}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"status=%ff"),
        (FORM, b"status=\xff"),
        (FORM, b"status=a%00"),
        (FORM, b"status=a&status=b"),
        (FORM, b"&".join(b"f%d=x" % n for n in range(101))),
        (CONTENT_TYPE, form(part("file", b"x", "a.txt"))),
        (CONTENT_TYPE, b"cut short"),
        ("application/json", b"status=success"),
        ("", b""),
    ],
)
async def test_a_broken_body_is_malformed(content_type, body):
    with pytest.raises(Malformed):
        await read_fields(content_type, body)


async def test_json_that_is_no_object_is_refused():
    with pytest.raises(Invalid):
        await read_fields("application/json", b"[]")


@pytest.mark.parametrize("field", ["message", "result_message"])
def test_endless_words_are_cut_and_lose_no_result(field):
    callback = check_payload({"status": "success", field: "x" * (MAX_TEXT + 1)}).callback()
    kept = callback.progress.message if field == "message" else callback.result.message
    assert kept == "x" * (MAX_TEXT - 1) + "…"
