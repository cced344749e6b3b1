"""The main job through the real parts: upload, delivery to the demo workflow, callbacks, result, record."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("main")) as stack:
        yield stack


def test_an_upload_becomes_a_result_and_a_record_that_verifies(stack: Stack) -> None:
    content = b"\x89PNG\r\n\x1a\n" + bytes(100_000)
    created = stack.upload("Rechnung März.png", content)
    assert created["status"] == "queued"
    assert created["file"]["sha256"] == hashlib.sha256(content).hexdigest()
    job = stack.ended(created["job_id"])
    assert (job["status"], job["attempt"], job["trouble"]) == ("success", 1, None)
    assert job["file"]["filename"] == "Rechnung März.png"
    assert job["result_message"]
    events = stack.history(created["job_id"])
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    assert [events[0]["type"], events[1]["type"], events[-1]["type"]] == ["Accepted", "Started", "Completed"]
    assert [event["type"] for event in events].count("Progressed") == 3
    verified = stack.admin("audit", "verify", "--job", created["job_id"])
    assert (verified.returncode, verified.stdout.split(":")[0]) == (0, "sound")


def test_the_file_comes_back_by_the_link_alone(stack: Stack) -> None:
    created = stack.upload(content=b"the very same bytes")
    stack.client.headers.pop("Authorization")
    try:
        answer = stack.client.get(created["links"]["file"])
    finally:
        stack.client.headers["Authorization"] = f"Bearer {stack.key}"
    assert answer.content == b"the very same bytes"


def test_the_event_stream_tells_every_line_once_and_ends_with_the_job(stack: Stack) -> None:
    created = stack.upload()
    with stack.client.stream("GET", created["links"]["events"]) as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("id:")]
    assert [int(line[3:]) for line in lines] == [event["version"] for event in stack.history(created["job_id"])]


def test_a_hundred_uploads_at_once_all_succeed(stack: Stack) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda number: stack.upload(content=b"number %d" % number), range(100)))
    assert len({one["job_id"] for one in created}) == 100
    assert {stack.ended(one["job_id"], patience=60)["status"] for one in created} == {"success"}


def test_the_same_key_with_the_same_content_is_the_same_job(stack: Stack) -> None:
    def hand_in(content: bytes) -> tuple[int, dict[str, str], str | None]:
        answer = stack.client.post(
            "/api/v1/jobs", files={"file": ("a.txt", content)}, headers={"Idempotency-Key": "order-17"}
        )
        return answer.status_code, answer.json(), answer.headers.get("Idempotent-Replayed")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(hand_in, [b"the order"] * 8))
    assert {status for status, _, _ in answers} == {202}
    assert len({body["job_id"] for _, body, _ in answers}) == 1
    assert sum(replayed is None for _, _, replayed in answers) == 1
    assert hand_in(b"another order")[0] == 422


def test_the_metrics_count_what_both_processes_did(stack: Stack) -> None:
    stack.ended(stack.upload()["job_id"])
    text = stack.client.get("/metrics").text
    assert 'callslip_jobs{status="success",workflow="n8n_notion"}' in text
    assert 'callslip_attempts_total{outcome="Delivered",workflow="n8n_notion"}' in text
    assert "callslip_callback_age_seconds_bucket" in text


def test_tampering_with_the_database_is_found_and_named(stack: Stack) -> None:
    created = stack.upload()
    stack.ended(created["job_id"])
    database = sqlite3.connect(stack.folder / ".data" / "callslip.db", timeout=10)
    with pytest.raises(sqlite3.IntegrityError):
        database.execute("UPDATE audit_event SET type = 'Cancelled'")
    database.rollback()
    values = (json.dumps("forged"), created["job_id"])
    database.execute("UPDATE job_log SET result_message = ? WHERE job_id = ?", values)
    database.commit()
    found = stack.admin("audit", "verify", "--job", created["job_id"])
    assert found.returncode == 1
    assert "result_message" in found.stdout
    database.execute("UPDATE job_log SET result_message = NULL WHERE job_id = ?", values[1:])
    database.commit()
    database.close()


def found_in(folder: Path, word: bytes) -> list[Path]:
    """The files below that have the word in their bytes."""
    return [path for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


def test_an_erased_job_leaves_a_whole_chain_and_no_word(stack: Stack) -> None:
    created = stack.upload("Canary Name.txt", b"canary content")
    stack.ended(created["job_id"])
    words = (b"Canary Name", b"canary content")
    assert all(found_in(stack.folder / ".data", word) for word in words)
    assert stack.admin("erase", created["job_id"], "--scrub").returncode == 0
    assert not any(found_in(stack.folder / ".data", word) for word in words)
    assert stack.admin("audit", "verify", "--job", created["job_id"]).returncode == 0
    assert "Canary" not in stack.client.get(f"/api/v1/jobs/{created['job_id']}").text
    assert stack.client.get(f"/api/v1/jobs/{created['job_id']}/file").status_code == 410
    assert all(event["detail"] is None for event in stack.history(created["job_id"]))


def test_the_second_launch_on_one_folder_says_so(stack: Stack) -> None:
    command = [sys.executable, "-m", "app.launch"]
    second = subprocess.run(
        command, cwd=stack.folder, env=stack.variables, capture_output=True, text=True, timeout=20, check=False
    )
    assert second.returncode == 1
    assert "already runs" in second.stdout + second.stderr


def test_no_secret_stands_in_any_log(stack: Stack) -> None:
    secrets = [
        line.partition("=")[2].split(":")[-1]
        for line in (stack.folder / ".env").read_text().splitlines()
        if line and not line.startswith("#") and len(line.partition("=")[2]) > 30
    ]
    assert len(secrets) >= 4
    text = stack.log.read_text()
    assert not [secret for secret in secrets if secret in text]
    assert "Canary" not in text
