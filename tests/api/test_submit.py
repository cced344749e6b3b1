"""Handing in: every line of the contract's table, and every bad input, without leaving a file behind."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.errors import DiskFull, StoreUnavailable
from app.domain.quotas import Quota, Quotas
from app.infrastructure.file_store_local import LocalFileStore
from tests.api.forms import CONTENT_TYPE, form, part
from tests.api.test_strict_json import LIES
from tests.api.world import AUTH, MAX_SIZE, OTHER_KEY, UPLOAD

JOBS = "/api/v1/jobs"
FORM = {"Content-Type": CONTENT_TYPE}


def is_problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert (body["status"], body["instance"]) == (status, answer.request.url.path)
    assert answer.headers["x-request-id"]
    return body


async def test_a_file_becomes_a_ticket(api, world, png):
    answer = await api.post(JOBS, files={"file": ("receipt.png", png)}, data={"notion_database_id": "db1"})
    assert answer.status_code == 202
    ticket = answer.json()
    here = f"{JOBS}/{ticket['job_id']}"
    assert answer.headers["location"] == here
    assert "idempotent-replayed" not in answer.headers
    assert ticket["status"] == "queued"
    assert ticket["workflow"] == "n8n_notion"
    assert ticket["created_at"].endswith("Z")
    assert ticket["file"] == {
        "filename": "receipt.png",
        "size": len(png),
        "sha256": hashlib.sha256(png).hexdigest(),
        "media_type": "image/png",
    }
    links = ticket["links"]
    assert (links["self"], links["events"], links["history"]) == (here, here + "/events", here + "/history")
    assert links["file"].startswith(here + "/file?token=")
    assert links["page"].startswith(f"/jobs/{ticket['job_id']}?token=")
    assert len(world.files()) == 1


@pytest.mark.parametrize("workflow_first", [True, False])
async def test_parts_come_in_any_order(api, workflow_first):
    parts = [part("file", b"some text", "a.txt"), part("workflow", b"any"), part("notion_database_id", b"x")]
    answer = await api.post(JOBS, content=form(*(parts[::-1] if workflow_first else parts)), headers=FORM)
    assert answer.status_code == 202
    assert (await api.get(answer.headers["location"])).json()["params"] == {"notion_database_id": "x"}


async def test_json_does_where_no_file_is_wanted(api):
    answer = await api.post(JOBS, json={"workflow": "question", "params": {"question": "why?"}})
    assert answer.status_code == 202
    assert answer.json()["file"] is None
    assert answer.json()["links"]["file"] is None


async def test_a_form_without_a_file_does_where_none_is_wanted(api):
    answer = await api.post(JOBS, content=form(part("workflow", b"question"), part("question", b"why?")), headers=FORM)
    assert answer.status_code == 202


async def test_the_same_key_and_content_answer_with_the_same_job(api, png):
    async def hand_in(content=png, key="k 1", auth=AUTH["Authorization"]):
        headers = {"Idempotency-Key": key, "Authorization": auth}
        return await api.post(JOBS, files={"file": ("a.png", content)}, headers=headers)

    first, second, other = await hand_in(), await hand_in(), await hand_in(auth=f"Bearer {OTHER_KEY}")
    assert second.status_code == 202
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]
    assert other.json()["job_id"] != first.json()["job_id"]
    problem = is_problem(await hand_in(content=png + b"x"), 422)
    assert [each["field"] for each in problem["errors"]] == ["Idempotency-Key"]


async def test_two_at_once_with_the_same_key_make_one_job(api, world, png):
    headers = {"Idempotency-Key": "k"}
    both = [api.post(JOBS, files={"file": ("a.png", png)}, headers=headers) for _ in range(4)]
    answers = await asyncio.gather(*both)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len(world.files()) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "Grüße".encode("latin-1")])
async def test_a_strange_idempotency_key_is_malformed(api, world, png, key):
    answer = await api.post(JOBS, files={"file": ("a.png", png)}, headers={"Idempotency-Key": key})
    is_problem(answer, 400)
    assert world.files() == []


BAD_FORMS = {
    "not multipart": ({"Content-Type": "text/plain"}, b"hello", 400),
    "no type": ({}, b"hello", 400),
    "no boundary": ({"Content-Type": "multipart/form-data"}, b"hello", 400),
    "an empty body": (FORM, b"", 400),
    "cut short": (FORM, form(part("file", b"text " * 1000, "a.txt"))[:3000], 400),
    "cut in the last boundary": (FORM, form(part("file", b"text", "a.txt"))[:-4], 400),
    "a part that never ends": (FORM, part("file", b"text " * 30_000, "a.txt"), 400),
    "broken part headers": (FORM, form(part("file", b"x", "a.txt", headers=b"Broken\r\n")), 400),
    "a header of 1 MiB": (FORM, form(part("file", b"x", "a.txt", headers=b"X: " + b"x" * 2**20 + b"\r\n")), 400),
    "no file": (FORM, form(part("workflow", b"n8n_notion")), 400),
    "two files": (FORM, form(part("file", b"text", "a.txt"), part("file", b"text", "b.txt")), 400),
    "an empty file": (FORM, form(part("file", b"", "a.txt")), 400),
    "a file without a name": (FORM, form(part("file", b"text")), 400),
    "a file under another name": (FORM, form(part("upload", b"text", "a.txt")), 400),
    "10,000 parts": (FORM, form(part("file", b"x", "a.txt"), *(part(f"p{n}", b"x") for n in range(10_000))), 400),
    "a field twice": (FORM, form(part("file", b"x", "a.txt"), part("workflow", b"any"), part("workflow", b"any")), 400),
    "a field that is not UTF-8": (FORM, form(part("file", b"x", "a.txt"), part("workflow", b"\xff")), 400),
    "larger than the limit": (FORM, form(part("file", b"x" * (MAX_SIZE + 1), "a.txt")), 413),
    "larger than its workflow takes": (FORM, form(part("file", b"x" * 150_001, "a.txt")), 413),
    "larger, workflow first": (FORM, form(part("workflow", b"n8n_notion"), part("file", b"x" * 150_001, "a.txt")), 413),
    "a field over its limit": (FORM, form(part("file", b"x", "a.txt"), part("workflow", b"x" * 65_537)), 413),
    "content that is not taken": (FORM, form(part("file", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a.png")), 415),
    "a compressed body": (FORM | {"Content-Encoding": "gzip"}, form(part("file", b"x", "a.txt")), 415),
    "an unknown workflow": (FORM, form(part("file", b"text", "a.txt"), part("workflow", b"nope")), 422),
    "a refused parameter": (FORM, form(part("file", b"text", "a.txt"), part("colour", b"red")), 422),
    "a file where none is taken": (FORM, form(part("workflow", b"question"), part("file", b"text", "a.txt")), 422),
}


@pytest.mark.parametrize(("headers", "body", "status"), BAD_FORMS.values(), ids=BAD_FORMS.keys())
async def test_a_bad_form_is_told_and_leaves_nothing_behind(api, world, caplog, headers, body, status):
    async def trickling():
        for start in range(0, len(body), 10_007):
            yield body[start : start + 10_007]

    for content in (body, trickling()):
        problem = is_problem(await api.post(JOBS, content=content, headers=headers), status)
        assert ("errors" in problem) == (status == 422)
        assert all(each["field"] and each["message"] for each in problem.get("errors", []))
    assert world.files() == []
    assert world.memory.jobs == {}
    assert "Traceback" not in caplog.text


async def test_each_refused_parameter_is_named(api):
    body = form(part("file", b"text", "a.txt"), part("colour", b"red"), part("size", b"big"))
    problem = is_problem(await api.post(JOBS, content=body, headers=FORM), 422)
    assert {each["field"] for each in problem["errors"]} == {"colour", "size"}


@pytest.mark.parametrize("body", LIES.values(), ids=LIES.keys())
async def test_json_that_lies_is_malformed(api, body):
    is_problem(await api.post(JOBS, content=body, headers={"Content-Type": "application/json"}), 400)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ([], [""]),
        ({"workflow": 5}, ["workflow"]),
        ({"workflow": "question", "params": []}, ["params"]),
        ({"workflow": "question", "colour": 1}, ["colour"]),
        ({"workflow": "question", "params": {"workflow": "any"}}, ["params.workflow"]),
        ({"workflow": "question", "params": {"question": 1, "x": "y"}}, ["x", "question"]),
        ({"workflow": "nope"}, ["workflow"]),
    ],
)
async def test_json_of_the_wrong_shape_is_refused_by_name(api, value, fields):
    problem = is_problem(await api.post(JOBS, json=value), 422)
    assert [each["field"] for each in problem["errors"]] == fields


@pytest.mark.parametrize("value", [{}, {"workflow": "n8n_notion", "params": {}}, {"workflow": "any"}])
async def test_json_is_not_taken_where_a_file_is_wanted(api, value):
    is_problem(await api.post(JOBS, json=value), 415)


async def test_json_over_one_mebibyte_is_too_large(api):
    is_problem(await api.post(JOBS, json={"workflow": "question", "params": {"question": "x" * 2**20}}), 413)


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer \xff", "bearer" + " x" * 100]
)
async def test_no_or_a_wrong_key_is_refused_before_the_body_is_read(api, world, authorization):
    reads = []

    async def body():
        reads.append(1)
        yield form(part("file", b"text", "a.txt"))

    headers = FORM | ({"Authorization": authorization.encode("latin-1")} if authorization is not None else {})
    if authorization is None:
        del api.headers["Authorization"]
    answer = await api.post(JOBS, content=body(), headers=headers)
    is_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["connection"] == "close"
    assert world.files() == []


async def test_every_key_counts(api, png):
    answer = await api.post(JOBS, files={"file": ("a.png", png)}, headers={"Authorization": f"bearer {OTHER_KEY}"})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "nul\0.txt",
        "\u202egpj.exe",
        "n" * 4000 + ".txt",
        "C:\\x\\y.txt",
        "a\r\nb.txt",
        'q"q.txt',
        "",
        "..",
    ],
)
async def test_a_hostile_file_name_is_stored_as_harmless_data(api, world, name):
    written = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    answer = await api.post(JOBS, content=form(part("file", b"some text", written)), headers=FORM)
    assert answer.status_code == 202
    kept = answer.json()["file"]["filename"]
    assert 0 < len(kept) <= 255
    assert not set(kept) & set("/\\\0\r\n\u202e")
    assert len(world.files()) == 1


async def test_content_like_a_boundary_is_content(api):
    content = b"\r\n--callslip-boundaryx\r\n--callslip-boundary-\r\n--0123456789abcdef\r\n" * 50
    answer = await api.post(JOBS, content=form(part("file", content, "a.txt")), headers=FORM)
    assert answer.json()["file"]["sha256"] == hashlib.sha256(content).hexdigest()


async def test_a_client_over_its_quota_is_told_when_to_come_back(world, api, png):
    world.services.tasks._quotas.quotas = Quotas(unfinished=Quota(name="unfinished", most=1))
    assert (await api.post(JOBS, files={"file": ("a.png", png)})).status_code == 202
    answer = await api.post(JOBS, files={"file": ("a.png", png)})
    is_problem(answer, 429)
    assert int(answer.headers["retry-after"]) > 0
    assert len(world.files()) == 1


async def test_too_many_uploads_at_once_are_told_to_come_back(world, api, png):
    gate, held = asyncio.Event(), UPLOAD.max_concurrent

    async def slow():
        yield part("file", png, "a.png")
        await gate.wait()
        yield b"--callslip-boundary--\r\n"

    waiting = [asyncio.create_task(api.post(JOBS, content=slow(), headers=FORM)) for _ in range(held)]
    await asyncio.sleep(0.05)
    answer = await api.post(JOBS, files={"file": ("a.png", png)})
    gate.set()
    is_problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert {(await each).status_code for each in waiting} == {202}
    assert (await api.post(JOBS, files={"file": ("a.png", png)})).status_code == 202


class BrokenLog:
    """A database that is away, or full."""

    def __init__(self, log, error):
        self._log, self._error = log, error

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def add(self, job, line, made_since=None, within=None):
        raise self._error

    async def record(self, *args, **kwargs):
        raise self._error


async def test_a_database_that_is_away_is_503(world, api, png):
    tasks = world.services.tasks
    tasks._log = BrokenLog(tasks._log, StoreUnavailable("the database does not answer", timedelta(seconds=7)))
    answer = await api.post(JOBS, files={"file": ("a.png", png)})
    is_problem(answer, 503)
    assert answer.headers["retry-after"] == "7"


async def test_a_full_database_is_507_and_keeps_nothing(world, api, png):
    tasks = world.services.tasks
    tasks._log = BrokenLog(tasks._log, DiskFull("the database's disk is full"))
    answer = await api.post(JOBS, files={"file": ("a.png", png)})
    is_problem(answer, 507)
    assert "retry-after" in answer.headers
    assert world.files() == []


async def test_where_the_database_is_full_nothing_that_is_there_is_changed_and_that_is_507_too(world, api, png):
    job = (await api.post(JOBS, files={"file": ("a.png", png)})).json()
    changes = world.services.tasks._changes
    changes._log = BrokenLog(changes._log, DiskFull("the database's disk is full"))
    answer = await api.post(f"{JOBS}/{job['job_id']}/cancel")
    is_problem(answer, 507)
    assert "retry-after" in answer.headers
    assert (await api.get(job["links"]["self"])).json()["status"] == "queued"


async def test_a_full_disk_is_507_and_keeps_nothing(world, api, png):
    tasks = world.services.tasks
    tasks._ports = replace(tasks._ports, files=LocalFileStore(world.root, min_free=1 << 60))
    answer = await api.post(JOBS, files={"file": ("a.png", png)})
    is_problem(answer, 507)
    assert "retry-after" in answer.headers
    assert world.files() == []


async def test_a_body_that_stops_coming_is_408(api, world):
    async def stopping():
        yield part("file", b"text", "a.txt")
        await asyncio.sleep(2)

    answer = await api.post(JOBS, content=stopping(), headers=FORM)
    is_problem(answer, 408)
    assert world.files() == []


@pytest.mark.parametrize(
    "parts", [[part("file", b"some text", "a.txt"), part("workflow", b"any")], [part("file", b"x")]]
)
async def test_the_short_way_and_the_whole_way_answer_and_are_logged_alike(api, caplog, parts):
    caplog.set_level("INFO")
    quick, whole = [
        await api.post(
            JOBS,
            content=form(*parts),
            headers={**FORM, "Authorization": f"{scheme} {AUTH['Authorization'].partition(' ')[2]}"},
        )
        for scheme in ("Bearer", "bearer")  # the second is left to FastAPI's solver
    ]
    mine = {"job_id", "created_at", "links"}
    assert quick.status_code == whole.status_code
    assert quick.headers.keys() == whole.headers.keys()
    assert [(key, value) for key, value in quick.json().items() if key not in mine] == [
        (key, value) for key, value in whole.json().items() if key not in mine
    ]
    assert [each.route for each in caplog.records if each.getMessage() == "request"] == [JOBS, JOBS]
