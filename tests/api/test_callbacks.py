"""Calling back: every line of the contract's table."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.models import JobId
from app.domain.signing import Scope, sign_webhook
from tests.api.forms import CONTENT_TYPE, form, part
from tests.api.test_strict_json import LIES
from tests.api.test_submit import is_problem
from tests.api.world import SECRET

JOBS = "/api/v1/jobs"
JSON = {"Content-Type": "application/json"}
SUCCESS = {"status": "success", "result_message": "Page created", "notion_page_url": "https://www.notion.so/x"}


@pytest.fixture
def path(job_id):
    return f"{JOBS}/{job_id}/callback"


@pytest.fixture
def bearer(world, job_id):
    return {"Authorization": f"Bearer {world.token(Scope.CALLBACK, job_id)}"}


async def test_progress_and_a_result_are_applied(api, path, bearer):
    body = {"status": "processing", "progress": 0.4, "step": 2, "steps": 5, "message": "Creating the page"}
    answer = await api.post(path, json=body, headers=bearer)
    assert answer.status_code == 200
    assert answer.json().keys() == {"applied", "job"}
    assert answer.json()["applied"] is True
    assert answer.json()["job"]["status"] == "waiting"
    assert answer.json()["job"]["progress"]["fraction"] == 0.4
    answer = await api.post(path, json=SUCCESS | {"result": {"a": 1}, "execution_id": 17}, headers=bearer)
    job = answer.json()["job"]
    assert (job["status"], job["result"], job["execution_id"]) == ("success", {"a": 1}, "17")
    assert job["notion_page_url"] == SUCCESS["notion_page_url"]


@pytest.mark.parametrize(
    ("right", "body"),
    [(True, b'{"status": "success"}'), (True, b'{"status": "bad"}'), (True, b"{"), (False, b'{"status": "success"}')],
    ids=["a result", "a refused field", "no JSON", "a wrong token"],
)
async def test_the_short_way_and_the_whole_way_answer_and_are_logged_alike(world, api, png, caplog, right, body):
    answers = []
    for scheme in ("Bearer ", "bearer ", "Bearer  "):  # only the first is not left to FastAPI's solver
        job_id = (await api.post(JOBS, files={"file": ("receipt.png", png)})).json()["job_id"]
        caplog.set_level("INFO")
        token = world.token(Scope.CALLBACK, JobId(UUID(job_id))) if right else "wrong"
        headers = JSON | {"Authorization": scheme + token}
        answers.append(await api.post(f"{JOBS}/{job_id}/callback", content=body, headers=headers))
    assert len({each.status_code for each in answers}) == 1
    assert len({tuple(each.headers) for each in answers}) == 1
    assert len({tuple(each.json()) for each in answers}) == 1
    routes = [each.route for each in caplog.records if each.getMessage() == "request"]
    assert [each for each in routes if each != JOBS] == [f"{JOBS}/{{job_id}}/callback"] * 3


async def test_a_result_may_be_deep_and_is_shown_as_it_was_sent(api, path, bearer):
    result = json.loads('{"a":[' * 60 + '"x"' + "]}" * 60)
    answer = await api.post(path, json=SUCCESS | {"result": result}, headers=bearer)
    assert (answer.status_code, answer.json()["job"]["result"]) == (200, result)


async def test_a_failure_is_applied_and_a_later_success_too(api, path, bearer):
    error = {"message": "Bad request", "description": "database not found", "httpCode": "404"}
    job = (await api.post(path, json={"status": "failure", "error": error}, headers=bearer)).json()["job"]
    assert (job["status"], job["error"]["detail"]) == ("failure", "database not found (HTTP 404)")
    answer = (await api.post(path, json=SUCCESS, headers=bearer)).json()
    assert (answer["applied"], answer["job"]["status"]) == (True, "success")


async def test_what_comes_late_or_again_is_200_and_not_applied(api, path, bearer):
    await api.post(path, json=SUCCESS, headers=bearer)
    for body in (SUCCESS, {"status": "failure", "error": "no"}, {"status": "processing", "progress": 0.1}):
        answer = await api.post(path, json=body, headers=bearer)
        assert answer.status_code == 200
        assert (answer.json()["applied"], answer.json()["job"]["status"]) == (False, "success")
        assert answer.json()["reason"]


async def test_a_cancelled_job_stays_cancelled(api, path, bearer, job_id):
    await api.post(f"{JOBS}/{job_id}/cancel")
    answer = (await api.post(path, json=SUCCESS, headers=bearer)).json()
    assert (answer["applied"], answer["job"]["status"]) == (False, "cancelled")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"status=processing&progress=0.4&step=2&steps=5&unknown=x"),
        (CONTENT_TYPE, form(part("status", b"processing"), part("progress", b"0.4"), part("step", b"2"))),
        ("application/json; charset=utf-8", b'{"status": "processing", "progress": "0.4", "step": "2", "more": []}'),
        ("", b'{"status": "processing", "progress": 0.4, "step": 2.0}'),
    ],
)
async def test_forms_and_numbers_as_text_are_read(api, path, bearer, content_type, body):
    answer = await api.post(path, content=body, headers=bearer | {"Content-Type": content_type})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["job"]["progress"]["fraction"], answer.json()["job"]["progress"]["step"]) == (0.4, 2)


@pytest.mark.parametrize("body", LIES.values(), ids=LIES.keys())
async def test_a_body_that_is_not_json_is_400(api, path, bearer, body, caplog):
    is_problem(await api.post(path, content=body, headers=bearer | JSON), 400)
    assert "Traceback" not in caplog.text


async def test_a_body_over_one_mebibyte_is_413(api, path, bearer):
    is_problem(await api.post(path, json=SUCCESS | {"extra": "x" * 2**20}, headers=bearer), 413)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["status"]),
        ({"status": "failed"}, ["status"]),
        ({"status": "processing", "progress": 40, "step": "x"}, ["progress", "step"]),
        ({"status": "success", "result": "x" * 2**18}, ["result"]),
        ({"status": "success", "notion_page_url": "javascript:alert(1)"}, ["notion_page_url"]),
        ([], [""]),
        ("success", [""]),
    ],
)
async def test_wrong_fields_are_422_each_named(api, world, path, bearer, job_id, body, fields):
    problem = is_problem(await api.post(path, json=body, headers=bearer), 422)
    assert [each["field"] for each in problem["errors"]] == fields
    assert (await world.services.log.get(job_id)).version == 1


async def refused(api, path, headers, content=None):
    answer = await api.post(path, content=content or json.dumps(SUCCESS), headers=JSON | headers)
    problem = is_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    return problem | {"instance": ""}


async def test_every_401_says_the_same(api, world, path, bearer, job_id):
    unknown = uuid4()
    known = await refused(api, path, {"Authorization": "Bearer nonsense"})
    others = [
        await refused(api, path, {"Authorization": ""}),
        await refused(api, path, {"Authorization": f"Bearer {world.token(Scope.FILE, job_id)}"}),
        await refused(api, path, {"Authorization": f"Bearer {world.token(Scope.CALLBACK, unknown)}"}),
        await refused(api, path, {}),  # an API key is no callback token
        await refused(api, f"{JOBS}/{unknown}/callback", bearer),
        await refused(
            api, f"{JOBS}/{unknown}/callback", {"Authorization": f"Bearer {world.token(Scope.CALLBACK, unknown)}"}
        ),
        await refused(api, f"{JOBS}/nonsense/callback", bearer),
        await refused(api, path, bearer, json.dumps(SUCCESS | {"job_id": str(unknown)}).encode()),
        await refused(api, path, bearer, json.dumps(SUCCESS | {"job_id": 5}).encode()),
    ]
    assert all(other == known for other in others)
    assert (await world.services.log.get(job_id)).version == 1


async def test_a_body_that_names_its_own_job_is_taken(api, path, bearer, job_id):
    answer = await api.post(path, json=SUCCESS | {"job_id": str(job_id).upper()}, headers=bearer)
    assert answer.status_code == 200


def signed(world, body, message_id="msg_1", secret=SECRET, ahead=timedelta(0)):
    at = world.clock() + ahead
    signature = sign_webhook([secret], message_id, at, body)
    stamp = str(int(at.timestamp()))
    headers = {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": signature}
    return headers | {"Authorization": ""} | JSON


async def test_a_standard_webhooks_signature_does_instead_of_a_token(api, world, path, job_id):
    body = json.dumps(SUCCESS).encode()
    for message_id, applied in (("msg_1", True), (str(job_id), False)):
        answer = await api.post(path, content=body, headers=signed(world, body, message_id))
        assert (answer.status_code, answer.json()["applied"]) == (200, applied)


async def test_a_wrong_signature_is_401(api, world, path, job_id):
    body = json.dumps(SUCCESS).encode()
    good = signed(world, body)
    await refused(api, path, good, body + b" ")
    await refused(api, path, signed(world, body, secret=b"another-secret-0123456789"), body)
    await refused(api, path, signed(world, body, ahead=timedelta(minutes=-6)), body)
    await refused(api, path, signed(world, body, ahead=timedelta(minutes=6)), body)
    await refused(api, path, signed(world, body, str(uuid4())), body)
    await refused(api, path, good | {"webhook-timestamp": "soon"}, body)
    await refused(api, path, good | {"webhook-signature": "v1,\xff".encode("latin-1")}, body)
    await refused(api, f"{JOBS}/{uuid4()}/callback", good, body)
    object.__setattr__(world.services, "callback_secrets", ())
    await refused(api, path, good, body)


async def test_a_foreign_token_is_refused_before_the_body_is_read(api, path):
    read = []

    async def body():
        read.append(1)
        yield b"{}"

    answer = await api.post(path, content=body(), headers={"Authorization": "Bearer nonsense"})
    is_problem(answer, 401)
    assert answer.headers["connection"] == "close"


async def test_a_callback_still_comes_through_for_a_job_that_was_overdue(api, world, path, bearer, job_id):
    await world.deliver(job_id)
    world.clock.ahead = timedelta(hours=1)
    assert (await api.post(path, json=SUCCESS, headers=bearer)).json()["applied"] is True


value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
likely = st.sampled_from(
    ["processing", "success", "failure", "", "0", "1", "2.5", "-0", "1e9", "https://a", "http://[", "\x7f"]
)
names = "status progress step steps message result_message notion_page_url result error execution_id job_id".split()  # noqa: SIM905


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from(names), likely | value, max_size=6))
async def test_no_callback_at_all_is_a_server_error(api, path, bearer, fields):
    body = json.dumps({"status": "processing", **fields}).encode()
    answer = await api.post(path, content=body, headers=bearer | JSON)
    assert answer.status_code in (200, 400, 401, 422)
    assert answer.json()
