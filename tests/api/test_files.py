"""The bytes of a job."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta

import pytest

from app.api.dispositions import attachment
from app.api.v1.files import safe_media_type
from app.domain.signing import Scope
from tests.api.forms import CONTENT_TYPE, form, part
from tests.api.test_submit import is_problem

JOBS = "/api/v1/jobs"


@pytest.fixture
def path(job_id):
    return f"{JOBS}/{job_id}/file"


async def test_the_bytes_come_back_as_an_attachment(api, path, png):
    answer = await api.get(path)
    assert (answer.status_code, answer.content) == (200, png)
    digest = base64.b64encode(hashlib.sha256(png).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert answer.headers["content-disposition"] == 'attachment; filename="receipt.png"'
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(png))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_head_tells_the_same_without_the_bytes(api, path):
    full, head = await api.get(path), await api.head(path, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-length", "etag", "repr-digest", "content-type", "content-disposition")
    assert [head.headers[name] for name in same] == [full.headers[name] for name in same]


@pytest.mark.parametrize(
    ("asked", "start", "stop"), [("0-3", 0, 4), ("10-", 10, None), ("-5", -5, None), ("0-9999", 0, None)]
)
async def test_a_range_is_a_part(api, path, png, asked, start, stop):
    answer = await api.get(path, headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (206, png[start:stop])
    first = len(png) + start if start < 0 else start
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(png)}"
    assert answer.headers["repr-digest"] == (await api.get(path)).headers["repr-digest"]


async def test_a_range_behind_the_end_is_416(api, path, png):
    answer = await api.get(path, headers={"Range": "bytes=5000-"})
    is_problem(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{len(png)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "lines=1-2", "bytes=5-1"])
async def test_other_ranges_are_all(api, path, png, asked):
    answer = await api.get(path, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, png)


async def test_a_part_is_sent_only_of_the_version_that_is_known(api, path):
    etag = (await api.get(path)).headers["etag"]
    for known, status in ((etag, 206), ('"other"', 200), ("Mon, 23 Nov 2026 05:00:00 GMT", 200)):
        answer = await api.get(path, headers={"Range": "bytes=0-1", "If-Range": known})
        assert answer.status_code == status
    assert (await api.get(path, headers={"If-None-Match": etag})).status_code == 304


async def test_a_link_opens_the_file_until_it_expires(api, world, png):
    ticket = (await api.post(JOBS, files={"file": ("a.png", png)})).json()
    del api.headers["Authorization"]
    assert (await api.get(ticket["links"]["file"])).content == png
    world.clock.ahead = timedelta(days=7, seconds=-5)
    assert (await api.get(ticket["links"]["file"])).status_code == 200
    world.clock.ahead = timedelta(days=7, seconds=5)
    is_problem(await api.get(ticket["links"]["file"]), 401)


async def test_other_tokens_do_not_open_the_file(api, world, path, job_id):
    del api.headers["Authorization"]
    other = type(job_id)(int=job_id.int ^ 1)
    tokens = [
        world.token(Scope.PAGE, job_id),
        world.token(Scope.CALLBACK, job_id),
        world.token(Scope.FILE, other),
        "x",
        "",
    ]
    for token in tokens:
        is_problem(await api.get(path, params={"token": token}), 401)
    is_problem(await api.get(f"{JOBS}/nonsense/file", params={"token": "x"}), 401)
    assert (await api.get(path, params={"token": world.token(Scope.FILE, job_id)})).status_code == 200


async def test_a_removed_file_is_410(api, world, path, job_id):
    await world.services.files.remove(job_id)
    is_problem(await api.get(path), 410)


async def test_a_job_without_a_file_has_none(api):
    ticket = (await api.post(JOBS, json={"workflow": "question"})).json()
    is_problem(await api.get(ticket["links"]["self"] + "/file"), 404)


async def test_what_a_browser_could_run_is_only_bytes(api):
    content = b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>"
    answer = await api.post(JOBS, content=form(part("file", content, "a.html")), headers={"Content-Type": CONTENT_TYPE})
    shown = answer.json()
    assert shown["file"]["media_type"] == "text/html"
    assert (await api.get(shown["links"]["file"])).headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("image/png", "image/png"),
        ("application/pdf", "application/pdf"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",) * 2,
        ("image/svg+xml", "application/octet-stream"),
        ("text/xml", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
        ("application/javascript", "application/octet-stream"),
        ("application/vnd.mozilla.xul+xml", "application/octet-stream"),
    ],
)
def test_only_harmless_types_are_told(stored, told):
    assert safe_media_type(stored) == told


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ('a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("Grüße.pdf", "attachment; filename=\"Gr__e.pdf\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.pdf"),
        ("100%25.txt", "attachment; filename=\"100_25.txt\"; filename*=UTF-8''100%2525.txt"),
        ("a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
        ("😀", "attachment; filename=\"_\"; filename*=UTF-8''%F0%9F%98%80"),
    ],
)
def test_a_name_is_written_so_that_old_and_new_programs_read_it(name, header):
    assert attachment(name) == header
