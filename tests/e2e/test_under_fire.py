"""Processes are killed and Redis is emptied while jobs are in flight; nothing that was acknowledged is lost or stuck."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from tests.e2e.stack import ENDED, Stack, running, until

API, WORKER, QUEUE, DEMO = "uvicorn", "rq_worker.py", "valkey", "demo.far_side"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("fire"), DEMO_PACE="0.2", N8N_TIMEOUT="3s") as stack:
        yield stack


def hand_in(stack: Stack, number: int) -> list[str]:
    """Uploads with an Idempotency-Key each, tried again until acknowledged, as a careful client does."""

    def one(index: int) -> str | None:
        answer = stack.client.post(
            "/api/v1/jobs",
            files={"file": ("a.txt", b"%d of %d" % (index, time.monotonic_ns()))},
            headers={"Idempotency-Key": f"{number}-{index}-{time.monotonic_ns()}"},
        )
        return answer.json()["job_id"] if answer.status_code == 202 else None

    return [until(lambda index=index: one(index)) for index in range(number)]


def all_succeed(stack: Stack, job_ids: list[str]) -> list[dict[str, object]]:
    jobs = [stack.ended(job_id, patience=60) for job_id in job_ids]
    assert {job["status"] for job in jobs} == {"success"}, [job["error"] for job in jobs if job["error"]]
    return jobs


@pytest.mark.parametrize("victim", [WORKER, API, QUEUE, DEMO])
def test_a_process_killed_in_the_middle_costs_no_job(stack: Stack, victim: str) -> None:
    job_ids = hand_in(stack, 20)
    stack.kill(victim)
    job_ids += hand_in(stack, 5)
    all_succeed(stack, job_ids)


def test_a_killed_workers_jobs_go_on_within_a_lease_and_a_sweep(stack: Stack) -> None:
    stack.ended(hand_in(stack, 1)[0])
    stack.kill(WORKER)
    began = time.monotonic()
    stack.ended(hand_in(stack, 1)[0])
    assert time.monotonic() - began < 15


def test_an_emptied_redis_costs_no_job(stack: Stack) -> None:
    socket = next((stack.folder / ".data" / "valkey").glob("*.sock"), None) or _socket(stack)
    server = redis.Redis(unix_socket_path=str(socket))
    job_ids = hand_in(stack, 10)
    server.flushall()
    job_ids += hand_in(stack, 10)
    server.flushall()
    all_succeed(stack, job_ids)
    until(lambda: stack.client.get("/api/v1/queue").json()["workers"])
    server.close()


def _socket(stack: Stack) -> str:
    return next(
        part.partition("unix:")[2] or part
        for part in stack.child(QUEUE).cmdline()
        if part.endswith(".sock")
    )  # fmt: skip


def test_a_stopped_queue_refuses_no_upload(stack: Stack) -> None:
    queue = stack.child(QUEUE)
    queue.suspend()
    try:
        job_ids = hand_in(stack, 5)
        assert stack.client.get("/health/ready").status_code == 200
        for job_id in job_ids:
            stack.ended(job_id, patience=30)
    finally:
        queue.resume()
    all_succeed(stack, job_ids)


def test_a_paused_worker_that_wakes_up_late_overwrites_nothing(stack: Stack) -> None:
    job_ids = hand_in(stack, 5)
    worker = stack.child(WORKER)
    worker.suspend()
    time.sleep(2.5)  # longer than the lease
    worker.resume()
    all_succeed(stack, job_ids)


def test_a_cancelled_job_stays_cancelled_whatever_arrives_later(stack: Stack) -> None:
    job_id = hand_in(stack, 1)[0]
    answer = stack.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert answer.status_code in (200, 409)
    if answer.status_code == 200:
        time.sleep(1.5)
        assert stack.job(job_id)["status"] == "cancelled"
    again = stack.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert again.status_code == 409


def test_a_failed_job_says_why_and_can_be_retried(stack: Stack) -> None:
    answer = stack.client.post("/api/v1/jobs", files={"file": ("please-fail.txt", b"x")})
    failed = stack.ended(answer.json()["job_id"])
    assert failed["status"] == "failure"
    assert failed["error"]["detail"]
    retried = stack.client.post(f"/api/v1/jobs/{failed['job_id']}/retry")
    assert retried.status_code == 202
    assert stack.ended(retried.json()["job_id"])["retry_of"] == failed["job_id"]


def test_every_job_of_this_module_has_ended_and_its_record_is_whole(stack: Stack) -> None:
    jobs = stack.client.get("/api/v1/jobs", params={"limit": 200}).json()["jobs"]
    assert jobs
    assert {job["status"] for job in jobs} <= set(ENDED)
    assert stack.admin("audit", "verify").returncode == 0
