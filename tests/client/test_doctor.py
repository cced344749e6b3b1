"""The doctor names what is wrong, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from callslip_client import Callslip
from callslip_client.doctor import Check, Verdict, examine, exit_status
from tests.client.service import KEY, Service
from tests.client.wire_parts import Fault, problem

SINCE = "2026-03-01T12:00:00Z"


def seen(service: Service, *, key: str = KEY, workflow: str | None = None, within: float = 1.0) -> dict[str, Check]:
    with Callslip(service.url, key, patience=0.3) as callslip:
        checks = list(examine(callslip, workflow, within, probe=True))
    assert exit_status(checks) in (0, 1, 2)
    return {check.name: check for check in checks}


def test_a_healthy_service_passes_and_its_probe_is_named(service: Service) -> None:
    service.after_submit = [("Completed", "success", {})]
    checks = seen(service)
    assert {check.verdict for check in checks.values()} == {Verdict.SKIPPED, Verdict.OK}
    assert checks["clock"].verdict is Verdict.SKIPPED
    assert exit_status([*checks.values()]) == 0
    (job,) = service.jobs.values()
    assert (job["file"]["filename"], job["params"]) == ("callslip-doctor.txt", {})


def test_nobody_at_the_address(service: Service) -> None:
    service.stop()
    checks = seen(service)
    assert list(checks) == ["address"]
    assert "is CALLSLIP_URL right?" in checks["address"].words
    assert exit_status([*checks.values()]) == 2
    service.start()


def test_something_else_at_the_address(service: Service) -> None:
    service.fails("GET", "/health", Fault(200, {}, b"<html>"))
    assert "not as Callslip does" in seen(service)["address"].words


@pytest.mark.parametrize(
    ("off", "words"), [(timedelta(minutes=7), "7 min behind"), (timedelta(minutes=-3), "3 min ahead of")]
)
def test_a_clock_that_is_off_is_told_in_minutes(service: Service, off: timedelta, words: str) -> None:
    service.date = format_datetime(datetime.now(UTC) + off, usegmt=True)
    service.after_submit = [("Completed", "success", {})]
    checks = seen(service)
    assert words in checks["clock"].words
    assert exit_status([*checks.values()]) == 2


def test_a_clock_that_agrees(service: Service) -> None:
    service.date = format_datetime(datetime.now(UTC) - timedelta(seconds=20), usegmt=True)
    assert seen(service)["clock"].verdict is Verdict.OK


def test_a_wrong_key_and_none(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = seen(service, key="name:" + KEY)
    assert "behind the colon" in checks["key"].words
    assert checks["probe"].verdict is Verdict.SKIPPED
    monkeypatch.delenv("CALLSLIP_API_KEY", raising=False)
    assert "there is no key" in seen(service, key="")["key"].words


def test_each_part_of_the_service_in_words(service: Service) -> None:
    service.health = {
        "status": "failed",
        "database": {"status": "failed", "detail": "locked"},
        "queue": {"status": "degraded", "detail": "connection refused"},
        "file_store": {"status": "ok", "free_bytes": 312_000_000},
        "workers": {"status": "degraded", "count": 0},
    }
    checks = seen(service)
    assert checks["database"].words == "failed: locked"
    assert "start later" in checks["queue"].words
    assert checks["file store"].words == "the disk is nearly full: 312 MB free"
    assert checks["workers"].words.startswith("no worker is running: start one with")
    assert checks["probe"].verdict is Verdict.SKIPPED


def trouble(kind: str, count: int = 1) -> dict[str, object]:
    return {"trouble": {"kind": kind, "since": SINCE, "count": count}}


def answer(text: str) -> dict[str, object]:
    return {"detail": {"answer": text}}


@pytest.mark.parametrize(
    ("life", "words"),
    [
        ([("Postponed", "queued", {**trouble("unavailable", 2), **answer("connection refused")})], "the far side cannot be reached: connection refused"),
        ([("Postponed", "queued", {**trouble("refused"), **answer("unknown webhook: is it active? (404): gone")})], "is this its production URL (not the test URL)?"),
        ([("Postponed", "queued", {**trouble("refused"), **answer("the webhook refused our credentials (403): 404")})], "its token differs from N8N_WEBHOOK_TOKEN"),
        ([("Postponed", "queued", {**trouble("server_error"), **answer("the far side answered 500")})], "an error of its own: the far side answered 500"),
        ([("Delivered", "waiting", {**trouble("no_answer"), **answer("no answer within 120 s")})], "did not answer it (no answer within 120 s)"),
        ([("Delivered", "waiting", {})], "the callback address (the service's PUBLIC_URL) is not reachable"),
        ([("Started", "processing", {})], "did not answer the delivery within 1 s"),
        ([("Progressed", "waiting", {"progress": {"fraction": 0.1}})], "calls back, but was not done"),
        ([], "no worker took the job within 1 s"),
        ([("Failed", "failure", {"error": {"type": "workflow", "detail": "Notion said: no"}})], "the job failed: Notion said: no"),
        ([("Failed", "failure", {"error": {"type": "delivery_refused", "detail": "unknown webhook (404) (tried 9 times)"}})], "not the test URL"),
        ([("Cancelled", "cancelled", {})], "somebody cancelled"),
        ([("Postponed", "queued", {**trouble("refused"), "detail": {"answer": "unknown webhook (404)", "request": {"url": "https://n8n.example/webhook-test/***"}}})], "the workflow's test URL (https://n8n.example/webhook-test/***)"),
    ],
)  # fmt: skip
def test_a_probe_that_does_not_come_back_is_explained(
    service: Service, life: list[tuple[str, str, dict[str, object]]], words: str
) -> None:
    service.after_submit = life
    checks = seen(service)
    assert words in checks["probe"].words
    assert exit_status([*checks.values()]) == 1
    (job,) = service.jobs.values()
    assert job["status"] in ("cancelled", "failure")


def test_a_workflow_that_takes_no_probe_is_no_fault(service: Service) -> None:
    for status, words in ((415, "takes no text files"), (422, "wants parameters")):
        service.fails("POST", "/jobs", Fault(status, {}, problem(status, "refused")))
        checks = seen(service)
        assert words in checks["probe"].words
        assert exit_status([*checks.values()]) == 0


def test_the_probe_of_a_workflow_without_a_file_has_none(service: Service) -> None:
    service.workflows = [{"name": "report", "title": "R", "parameters": {}, "file": None}]
    service.after_submit = [("Completed", "success", {})]
    assert seen(service)["probe"].verdict is Verdict.OK
    assert next(iter(service.jobs.values()))["workflow"] == "report"
    assert "there is no workflow other" in seen(service, workflow="other")["probe"].words
