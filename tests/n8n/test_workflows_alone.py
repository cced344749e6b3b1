"""What the shipped workflows do with deliveries that come twice, are forged or too late. No Callslip takes part."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.n8n.conftest import SIGNED, TO_NOTION, Lab
from tests.n8n.sender import Sender

pytestmark = pytest.mark.n8n
PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)


@pytest.fixture(scope="module")
def sender(lab: Lab) -> Iterator[Sender]:
    sender = Sender(lab.token)
    yield sender
    sender.close()


def outcome(lab: Lab, execution_id: str) -> str:
    """How n8n says that an execution ended."""
    deadline = time.monotonic() + 60
    while (status := lab.n8n.execution(execution_id)["status"]) in ("new", "running", "waiting"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return str(status)


def test_deliveries_that_come_together_and_again_make_one_page_each(lab: Lab, sender: Sender) -> None:
    names = [f"together {number}.png" for number in range(16)]
    url = lab.webhook(TO_NOTION)
    with ThreadPoolExecutor(8) as pool:
        jobs = [job for job, _ in pool.map(lambda name: sender.deliver(url, name, PNG), names)]
        first = [sender.heard(job, 2)[1] for job in jobs]
        list(pool.map(lambda pair: sender.deliver(url, pair[0], PNG, pair[1]), zip(names, jobs, strict=True)))
    again = [sender.heard(job, 3)[2] for job in jobs]
    assert [len(lab.notion.titled(name)) for name in names] == [1] * 16
    assert {one["status"] for one in first + again} == {"success"}
    assert [one["notion_page_url"] for one in again] == [one["notion_page_url"] for one in first]


def test_a_repeat_while_the_first_is_at_work_changes_nothing(lab: Lab, sender: Sender) -> None:
    job, _ = sender.deliver(lab.webhook(TO_NOTION), "SLOW_2 once.png", PNG)
    sender.heard(job, 1)
    _, repeat = sender.deliver(lab.webhook(TO_NOTION), "SLOW_2 once.png", PNG, job)
    assert outcome(lab, repeat) == "success"
    assert [one["status"] for one in sender.heard(job, 2)] == ["processing", "success"]
    assert lab.notion.asked("SLOW_2 once.png") == 1


def test_a_repeat_after_a_refused_page_tries_anew(lab: Lab, sender: Sender) -> None:
    job, first = sender.deliver(lab.webhook(TO_NOTION), "FAIL_404 twice.png", PNG)
    assert sender.heard(job, 2)[1]["result_message"] == "Notion said: Asked to fail with 404: FAIL_404 twice.png"
    assert outcome(lab, first) == "error"
    sender.deliver(lab.webhook(TO_NOTION), "FAIL_404 twice.png", PNG, job)
    assert [one["status"] for one in sender.heard(job, 4)] == ["processing", "failure"] * 2


def test_a_result_that_nobody_took_is_told_again_by_retry_and_by_repeat(lab: Lab, sender: Sender) -> None:
    sender.away = True
    job, execution = sender.deliver(lab.webhook(TO_NOTION), "untold.png", PNG)
    assert outcome(lab, execution) == "error"
    sender.away = False
    assert lab.n8n.api("POST", f"/executions/{execution}/retry").status_code == 200
    sender.deliver(lab.webhook(TO_NOTION), "untold.png", PNG, job)
    heard = sender.heard(job, 2)
    assert [one["status"] for one in heard] == ["success", "success"]
    assert heard[0]["notion_page_url"] == heard[1]["notion_page_url"] == lab.notion.titled("untold.png")[0]["url"]
    assert lab.notion.asked("untold.png") == 1


def test_a_busy_notion_is_asked_again(lab: Lab, sender: Sender) -> None:
    job, execution = sender.deliver(lab.webhook(TO_NOTION), "BUSY_ONCE.png", PNG)
    heard = sender.heard(job, 3)
    assert [one.get("message") for one in heard[:2]] == ["Creating the page in Notion", "Notion is busy, trying again"]
    assert heard[2]["status"] == "success"
    assert {one["execution_id"] for one in heard} == {execution}
    assert lab.notion.asked("BUSY_ONCE.png") == 2


def test_a_name_full_of_quotes_reaches_notion_as_it_is(lab: Lab, sender: Sender) -> None:
    job_id, name = str(uuid.uuid4()), 'a "b" \\ {{ 1 + 1 }} \u65e5\u672c.png'
    answer = sender.post(lab.webhook(TO_NOTION), sender.fields(job_id, name, PNG), "plain.png", PNG, lab.token)
    assert answer.json()["executionId"]
    assert sender.heard(job_id, 2)[1]["status"] == "success"
    assert len(lab.notion.titled(name)) == 1


def test_a_wrong_token_starts_nothing(lab: Lab, sender: Sender) -> None:
    fields = sender.fields(str(uuid.uuid4()), "foreign.png", PNG)
    assert sender.post(lab.webhook(TO_NOTION), fields, "foreign.png", PNG, "wrong").status_code == 403
    assert lab.notion.asked("foreign.png") == 0


def test_a_file_other_than_the_signed_one_is_reported(lab: Lab, sender: Sender) -> None:
    job_id = str(uuid.uuid4())
    bearer = sender.signed(PNG, job_id=job_id)
    forged = os.urandom(2000)
    sender.post(lab.webhook(SIGNED), sender.fields(job_id, "swapped.png", forged), "swapped.png", forged, bearer)
    (heard,) = sender.heard(job_id, 1)
    assert (heard["status"], heard["result_message"]) == ("failure", "The file is not the one that was signed")


def test_a_token_for_another_job_is_reported(lab: Lab, sender: Sender) -> None:
    job_id = str(uuid.uuid4())
    bearer = sender.signed(PNG, job_id=str(uuid.uuid4()))
    sender.post(lab.webhook(SIGNED), sender.fields(job_id, "other.png", PNG), "other.png", PNG, bearer)
    assert sender.heard(job_id, 1)[0]["status"] == "failure"


def test_an_expired_or_foreign_signature_starts_nothing(lab: Lab, sender: Sender) -> None:
    job_id = str(uuid.uuid4())
    fields = sender.fields(job_id, "late.png", PNG)
    expired = sender.signed(PNG, seconds=-60, job_id=job_id)
    assert sender.post(lab.webhook(SIGNED), fields, "late.png", PNG, expired).status_code == 403
    sender.token = "another secret of thirty-two characters"
    foreign = sender.signed(PNG, job_id=job_id)
    sender.token = lab.token
    assert sender.post(lab.webhook(SIGNED), fields, "late.png", PNG, foreign).status_code == 403
    assert sender.callbacks[job_id] == []
