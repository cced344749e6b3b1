"""Jobs through Callslip and a real n8n: uploads become pages, and what breaks on the way is told or mended."""

from __future__ import annotations

import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.stack import Stack, running, until
from tests.n8n.conftest import SIGNED, TO_NOTION, Lab

pytestmark = pytest.mark.n8n
DATABASE = "1f0e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
SECOND_WORKFLOW = """
[workflow.signed]
title = "Check a signed file"
url = "${SIGNED_URL}"
auth = "jwt"
token = "${SIGNED_TOKEN}"
secret = "${SIGNED_SECRET}"
multipart_limit = "1 MB"
media_types = ["image/png"]
"""


@pytest.fixture(scope="module")
def stack(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("callslip")
    (folder / "workflows.toml").write_text(SECOND_WORKFLOW)
    variables = {
        "N8N_WEBHOOK_URL": lab.webhook(TO_NOTION),
        "N8N_WEBHOOK_TOKEN": lab.token,
        "N8N_WEBHOOK_SECRET": secrets.token_urlsafe(32),
        "N8N_API_URL": lab.n8n.url,
        "N8N_API_KEY": lab.n8n.api_key,
        "SIGNED_URL": lab.webhook(SIGNED),
        "SIGNED_TOKEN": lab.token,
        "SIGNED_SECRET": secrets.token_urlsafe(32),
        "RETRY_SCHEDULE": ",".join(["2s"] * 40),
        "CALLBACK_TIMEOUT": "4s",
        "CALLBACK_DEADLINE": "5m",
    }
    with running(folder, **variables) as stack:
        yield stack


def picture(width: int = 8, height: int = 8, *, noise: bool = False) -> bytes:
    """A PNG that any viewer opens; with `noise` it cannot be compressed."""
    row = 1 + 3 * width
    pixels = secrets.token_bytes(row * height) if noise else bytes(row * height)
    pixels = b"".join(b"\x00" + pixels[at + 1 : at + row] for at in range(0, row * height, row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def at_work(stack: Stack, job_id: str) -> dict[str, Any]:
    """The job once n8n has told of its progress and the execution is known."""

    def known() -> dict[str, Any] | None:
        job = stack.job(job_id)
        return job if job["progress"]["fraction"] and job["execution_id"] else None

    return dict(until(known, 30))


def test_a_picture_becomes_one_page_with_its_facts(lab: Lab, stack: Stack) -> None:
    name = "Quittung März 東京.png"
    created = stack.upload(name, picture(), notion_database_id=DATABASE)
    job = stack.ended(created["job_id"])
    (page,) = lab.notion.titled(name)
    assert (job["status"], job["notion_page_url"]) == ("success", page["url"])
    assert job["result_message"] == f"Page created for {name}"
    assert page["parent"] == {"database_id": DATABASE}
    text = str(page["children"])
    assert created["file"]["sha256"] in text
    assert created["job_id"] in text
    assert f"/api/v1/jobs/{created['job_id']}/file?token=" in text
    assert lab.n8n.execution(job["execution_id"])["status"] == "success"
    types = [event["type"] for event in stack.history(created["job_id"])]
    assert types[:2] == ["Accepted", "Started"]
    assert "Progressed" in types
    assert types[-1] == "Completed"


def test_the_link_on_the_page_opens_the_file(lab: Lab, stack: Stack) -> None:
    content = picture(16, 16, noise=True)
    stack.ended(stack.upload("linked.png", content, notion_database_id=DATABASE)["job_id"])
    (page,) = lab.notion.titled("linked.png")
    link = page["children"][0]["paragraph"]["rich_text"][0]["text"]["link"]["url"]
    assert stack.client.get(link, headers={"Authorization": ""}).content == content


def test_five_megabytes_go_through(lab: Lab, stack: Stack) -> None:
    content = picture(1320, 1320, noise=True)
    assert len(content) > 5_000_000
    job = stack.ended(stack.upload("large.png", content, notion_database_id=DATABASE)["job_id"])
    assert job["status"] == "success"
    assert len(lab.notion.titled("large.png")) == 1


def test_many_at_once_make_one_page_each(lab: Lab, stack: Stack) -> None:
    names = [f"many {number}.png" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda name: stack.upload(name, picture(), notion_database_id=DATABASE)["job_id"], names))
    assert {stack.ended(job_id, 90)["status"] for job_id in made} == {"success"}
    assert [len(lab.notion.titled(name)) for name in names] == [1] * 20


def test_what_notion_refuses_is_told_in_its_own_words(stack: Stack) -> None:
    job = stack.ended(stack.upload("FAIL_400.png", picture(), notion_database_id=DATABASE)["job_id"])
    assert job["status"] == "failure"
    assert job["result_message"] == "Notion said: Asked to fail with 400: FAIL_400.png"
    assert "Asked to fail with 400" in job["error"]["detail"]


def test_without_a_database_the_words_say_so(stack: Stack) -> None:
    job = stack.ended(stack.upload("nowhere.png", picture())["job_id"])
    assert job["status"] == "failure"
    assert "database_id" in job["result_message"]


def test_a_signed_file_is_checked_without_code(stack: Stack) -> None:
    created = stack.upload("signed ü.png", picture(), workflow="signed")
    job = stack.ended(created["job_id"])
    assert job["status"] == "success"
    assert job["result"]["sha256"] == created["file"]["sha256"]
    assert job["result"]["filename"] == "signed ü.png"


def test_a_file_above_the_limit_is_fetched_by_its_link(stack: Stack) -> None:
    created = stack.upload("by link.png", picture(660, 660, noise=True), workflow="signed")
    assert created["file"]["size"] > 1_000_000
    job = stack.ended(created["job_id"])
    assert (job["status"], job["result"]["sha256"]) == ("success", created["file"]["sha256"])


def test_cancelling_stops_the_execution(lab: Lab, stack: Stack) -> None:
    created = stack.upload("SLOW_20 cancelled.png", picture(), notion_database_id=DATABASE)
    job = at_work(stack, created["job_id"])
    answer = stack.client.post(f"/api/v1/jobs/{created['job_id']}/cancel")
    assert answer.json()["status"] == "cancelled"
    until(lambda: lab.n8n.execution(job["execution_id"])["status"] == "canceled", 15)
    assert stack.job(created["job_id"])["status"] == "cancelled"


def test_an_overdue_job_asks_and_goes_on_waiting(stack: Stack) -> None:
    created = stack.upload("SLOW_8 patient.png", picture(), notion_database_id=DATABASE)
    until(lambda: stack.job(created["job_id"])["overdue"], 20)
    assert stack.ended(created["job_id"])["status"] == "success"
    notes = [event["detail"] for event in stack.history(created["job_id"]) if event["type"] == "Noted"]
    assert any("running" in str(detail) for detail in notes), notes


def test_a_job_waits_for_an_n8n_that_is_away(lab: Lab, stack: Stack) -> None:
    lab.n8n.stop()
    created = stack.upload("patience.png", picture(), notion_database_id=DATABASE)
    until(lambda: stack.job(created["job_id"])["trouble"], 20)
    lab.n8n.start()
    lab.go_live()
    job = stack.ended(created["job_id"], 60)
    assert (job["status"], job["trouble"]) == ("success", None)
    assert job["attempt"] > 1
    assert len(lab.notion.titled("patience.png")) == 1


def test_a_crashed_execution_is_found_by_asking(lab: Lab, stack: Stack) -> None:
    created = stack.upload("SLOW_20 crashed.png", picture(), notion_database_id=DATABASE)
    at_work(stack, created["job_id"])
    lab.n8n.kill()
    time.sleep(1)
    lab.n8n.start()
    lab.go_live()
    job = stack.ended(created["job_id"], 150)  # asked ever more seldom, and not heard while n8n was away
    assert (job["status"], job["error"]["type"]) == ("failure", "execution_crashed")
