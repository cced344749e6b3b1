"""Receipts: what they say, to whom, and that a stranger can check them with the script alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.lifecycle import Completed
from app.domain.models import JobResult
from app.domain.signing import Scope
from tests.api.test_look import UNKNOWN
from tests.api.test_submit import is_problem

JOBS = "/api/v1/jobs"
SCRIPT = Path(__file__).parents[2] / "scripts" / "check_receipt.py"


@pytest.fixture
def check(tmp_path):
    """Runs the script on a receipt, away from our code."""
    folder = tmp_path / "stranger"
    folder.mkdir()

    def check(receipt, keys, *options, history=None):
        (folder / "receipt.json").write_text(json.dumps(receipt, indent=2))
        (folder / "keys.json").write_text(json.dumps(keys))
        if history:
            (folder / "history.json").write_text(json.dumps(history))
            options = (*options, "--history", "history.json")
        command = [sys.executable, "-I", str(SCRIPT), "receipt.json", "--key", "keys.json", *options]
        done = subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    return check


async def test_a_receipt_says_what_we_have_and_where_it_stands(api, world, job_id, png):
    await world.deliver(job_id)
    answer = await api.get(f"{JOBS}/{job_id}/receipt")
    said, job = answer.json(), await world.services.log.get(job_id)
    assert answer.headers["content-disposition"] == f'attachment; filename="receipt-{job_id}.json"'
    assert (said["job_id"], said["filename"], said["size"]) == (str(job_id), "receipt.png", len(png))
    assert (said["sha256"], said["status"]) == (job.file.sha256, "waiting")
    assert (said["version"], said["head"]) == (3, job.head)
    assert said["created_at"] < said["issued_at"]


async def test_a_receipt_opens_with_a_key_or_the_pages_token_and_the_public_key_to_anybody(api, world, job_id):
    del api.headers["Authorization"]
    is_problem(await api.get(f"{JOBS}/{job_id}/receipt"), 401)
    is_problem(await api.get(f"{JOBS}/{job_id}/receipt?token={world.token(Scope.FILE, job_id)}"), 401)
    said = (await api.get(f"{JOBS}/{job_id}/receipt?token={world.token(Scope.PAGE, job_id)}")).json()
    (key,) = (await api.get("/api/v1/receipt-key")).json()["keys"]
    assert (key["key_id"], key["public_key"], key["algorithm"]) == (said["key_id"], said["public_key"], "Ed25519")


async def test_there_is_no_receipt_for_what_is_not_there(api):
    is_problem(await api.get(f"{JOBS}/{UNKNOWN}/receipt"), 404)


async def test_of_an_erased_job_the_receipt_tells_no_name_and_no_content(api, world, job_id, check):
    await world.services.tasks.erase(job_id)
    said = (await api.get(f"{JOBS}/{job_id}/receipt")).json()
    assert (said["filename"], said["sha256"], said["status"]) == (None, None, "cancelled")
    status, words = check(said, (await api.get("/api/v1/receipt-key")).json())
    assert (status, "it names no file, handed in" in words) == (0, True)


async def test_a_stranger_can_check_receipt_file_and_history_without_us(api, world, job_id, png, tmp_path, check):
    await world.deliver(job_id)
    receipt = (await api.get(f"{JOBS}/{job_id}/receipt")).json()
    await world.advance(job_id, Completed(result=JobResult(message="dönè")))
    history, keys = (await api.get(f"{JOBS}/{job_id}/history")).json(), (await api.get("/api/v1/receipt-key")).json()
    (tmp_path / "same").write_bytes(png)
    (tmp_path / "other").write_bytes(png + b"x")
    status, words = check(receipt, keys, "--file", str(tmp_path / "same"), history=history)
    assert (status, words.split()[:3]) == (0, ["genuine:", "job", str(job_id)])
    assert check(receipt, keys, "--file", str(tmp_path / "other"))[0] == 1
    status, words = check({**receipt, "status": "success"}, keys)
    assert (status, "signature" in words) == (1, True)
    history["events"][1]["facts"]["attempt"] = 7
    status, words = check(receipt, keys, history=history)
    assert (status, "version 2" in words) == (1, True)
    status, words = check(
        receipt, keys, history={"events": (await api.get(f"{JOBS}/{job_id}/history")).json()["events"][:2]}
    )
    assert (status, "ends at version 2" in words) == (1, True)
    assert check(receipt, {"keys": []})[0] == 1
    assert check(receipt, "none")[0] == 2
