"""Calls that go well, in both colours."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from callslip_client import (
    Callslip,
    Conflict,
    Invalid,
    JobStatus,
    Misused,
    NotAuthentic,
    NotFound,
    NotInTime,
    NotUnderstood,
    models,
)
from tests.client.service import KEY, Service
from tests.client.wire_parts import Fault, form, problem


def test_a_file_is_handed_in_with_its_parameters(callslip: Callslip, service: Service, tmp_path: Path) -> None:
    path = tmp_path / 'März "1".txt'
    path.write_bytes(b"\r\n--content" * 100_000)
    told: list[tuple[int, int]] = []
    ticket = callslip.submit(
        path,
        workflow="w",
        params={"id": "ü", "n": 3, "no": None},
        on_progress=lambda sent, total: told.append((sent, total)),
    )
    seen = service.calls("POST", "/jobs")[0]
    fields, filename, content = form(seen)
    assert (fields, filename) == ({"workflow": "w", "id": "ü", "n": "3"}, "März %221%22.txt")
    assert content == path.read_bytes()
    assert (ticket.status, ticket.workflow, ticket.replayed) == (JobStatus.QUEUED, "w", False)
    assert told[-1] == (len(seen.body), len(seen.body))
    assert len(told) > 3
    assert seen.headers["content-length"] == str(len(seen.body))


def test_a_ticket_tells_whether_the_job_was_begun_for_somebody_else(callslip: Callslip) -> None:
    raw = dict(callslip.submit(b"hello", filename="a.txt").raw)
    told = [models.created(answer, replayed=False).joined for answer in (raw, {**raw, "joined": True})]
    assert told == [False, True]


def test_bytes_are_handed_in_under_a_name(callslip: Callslip, service: Service) -> None:
    ticket = callslip.submit(b"hello", filename="a.txt")
    assert service.files[ticket.job_id] == b"hello"
    with pytest.raises(Misused):
        callslip.submit(b"hello")


def test_a_submission_without_a_file_is_json(callslip: Callslip, service: Service) -> None:
    callslip.submit(workflow="report", params={"topic": "x", "pages": 3})
    assert json.loads(service.seen[0].body) == {"workflow": "report", "params": {"topic": "x", "pages": 3}}


def test_a_parameter_cannot_take_the_place_of_the_file(callslip: Callslip) -> None:
    with pytest.raises(Misused):
        callslip.submit(b"x", filename="a", params={"file": "y"})


def test_the_same_idempotency_key_answers_with_the_same_job(callslip: Callslip) -> None:
    first = callslip.submit(b"x", filename="a", idempotency_key="k1")
    second = callslip.submit(b"x", filename="a", idempotency_key="k1")
    other = callslip.submit(b"x", filename="a")
    assert (second.job_id, second.replayed) == (first.job_id, True)
    assert other.job_id != first.job_id
    with pytest.raises(Misused):
        callslip.submit(b"x", filename="a", idempotency_key="naïve")


def test_a_job_is_read_with_everything_in_it(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()
    service.finish(job_id, "failure", error={"type": "workflow", "detail": "no"}, trouble={"kind": "refused", "since": "2026-03-01T12:00:00Z", "count": 2}, new_member=1)  # fmt: skip
    job = callslip.get(job_id)
    assert (job.status, job.version, job.progress.step, job.progress.message) == (JobStatus.FAILURE, 5, 1, "half")
    assert job.error
    assert job.error.detail == "no"
    assert job.trouble
    assert (job.trouble.kind, job.trouble.count) == ("refused", 2)
    assert job.completed_at
    assert job.completed_at > job.created_at
    assert job.raw["new_member"] == 1


def test_waiting_ends_with_the_job(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()
    timer = threading.Timer(0.3, service.finish, [job_id])
    timer.start()
    began = time.monotonic()
    assert callslip.wait(job_id, timeout=10).status is JobStatus.SUCCESS
    assert time.monotonic() - began < 3
    assert len(service.calls("GET", job_id)) < 8
    timer.join()


def test_waiting_gives_up_in_time_and_says_how_the_job_stands(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()
    with pytest.raises(NotInTime) as caught:
        callslip.wait(job_id, timeout=1)
    assert caught.value.job.status is JobStatus.QUEUED


def test_history_and_events_tell_the_same_lines(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()
    service.finish(job_id)
    lines = callslip.history(job_id)
    assert [line.type for line in lines] == ["Accepted", "Started", "Delivered", "Progressed", "Completed"]
    assert tuple(callslip.events(job_id)) == lines
    assert tuple(callslip.events(job_id, after=3)) == lines[3:]
    assert tuple(callslip.events(job_id, after=5)) == ()


def test_pages_are_fetched_as_they_are_needed(callslip: Callslip, service: Service) -> None:
    ids = [service.add_job() for _ in range(450)]
    assert [job.job_id for job in callslip.list()] == ids[::-1]
    assert len(service.calls("GET", "/jobs")) == 3
    assert [job.job_id for job in callslip.list(limit=201)] == ids[:-202:-1]
    assert [call.query["limit"] for call in service.calls("GET", "/jobs")[3:]] == ["200", "1"]
    assert list(callslip.list(status="failure", limit=5)) == []


def test_jobs_are_cancelled_and_done_again(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()
    assert callslip.cancel(job_id).status is JobStatus.CANCELLED
    with pytest.raises(Conflict):
        callslip.cancel(job_id)
    assert callslip.retry(job_id).job_id != job_id


def test_workflows_queue_and_health_are_read(callslip: Callslip, service: Service) -> None:
    (workflow,) = callslip.workflows()
    assert workflow.file
    assert workflow.file.media_types == ("*/*",)
    assert callslip.queue().workers == ("w",)
    service.health = {"status": "failed", "database": {"status": "failed", "detail": "locked", "new": 1}}
    service.date = "Sun, 01 Mar 2026 12:00:00 GMT"
    health = callslip.health()
    assert (health.status, health.parts["database"].detail) == ("failed", "locked")
    assert health.answered_at
    assert health.answered_at.minute == 0


def test_refusals_have_their_own_classes(callslip: Callslip, service: Service) -> None:
    with pytest.raises(NotFound, match="no job with this id"):
        callslip.get("../../etc")
    assert service.seen[-1].path == "/api/v1/jobs/..%2F..%2Fetc"
    service.fails(
        "POST",
        "/jobs",
        Fault(422, {}, problem(422, "refused", errors=[{"field": "notion_database_id", "message": "is no id"}])),
    )
    with pytest.raises(Invalid, match="notion_database_id: is no id") as caught:
        callslip.submit(b"x", filename="a")
    assert caught.value.errors[0].field == "notion_database_id"


def test_a_wrong_key_is_refused_and_shown_nowhere(connect: object, service: Service) -> None:
    client = connect(api_key="some-other-secret-key-000")  # type: ignore[operator]
    with pytest.raises(NotAuthentic) as caught:
        client.queue()
    assert "some-other" not in repr(client) + str(caught.value)
    with pytest.raises(Misused) as misused:
        connect(api_key="sécret\n")  # type: ignore[operator]
    assert "cret" not in str(misused.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://a", "http://", "http://u:p@host", "http://host/?x=1", "http://[::1"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(Misused, match="must look like"):
        Callslip(url, KEY)


def test_something_else_at_the_address_is_told_from_a_callslip(callslip: Callslip, service: Service) -> None:
    service.fails(
        "GET",
        "/health",
        Fault(200, {}, b"<html>hello"),
        Fault(301, {"Location": "https://x/"}),
        Fault(404, {}, b"<html>"),
    )
    with pytest.raises(NotUnderstood, match="not as Callslip does"):
        callslip.health()
    with pytest.raises(NotUnderstood, match="redirects to https://x/"):
        callslip.health()
    with pytest.raises(NotFound):
        callslip.health()


def test_address_and_key_come_from_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSLIP_URL", service.url + "/")
    monkeypatch.setenv("CALLSLIP_API_KEY", KEY)
    with Callslip() as callslip:
        assert callslip.queue().overdue == 0
