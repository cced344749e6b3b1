"""The client and the command against the whole product, with its own far side."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from callslip_client import Callslip, HistoryEvent, JobStatus
from callslip_client.cli import app
from tests.e2e.stack import Stack, running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("client"), DEMO_PACE="0.3") as stack:
        yield stack


@pytest.fixture
def callslip(stack: Stack) -> Iterator[Callslip]:
    with connected(stack) as callslip:
        yield callslip


def connected(stack: Stack) -> Callslip:
    return Callslip(f"http://127.0.0.1:{stack.port}", stack.key)


def command(stack: Stack) -> Callable[..., Result]:
    variables = {"CALLSLIP_URL": f"http://127.0.0.1:{stack.port}", "CALLSLIP_API_KEY": stack.key, "COLUMNS": "100"}
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words], env=variables)


def test_a_file_goes_round_and_comes_back_the_same(callslip: Callslip, tmp_path: Path) -> None:
    path = tmp_path / "März.txt"
    path.write_text("twelve coffees\n" * 50_000)
    told: list[int] = []
    ticket = callslip.submit(
        path, on_progress=lambda sent, total: told.append(total - sent), idempotency_key=path.name[-4:]
    )
    again = callslip.submit(path, idempotency_key=path.name[-4:])
    assert (again.job_id, again.replayed, told[-1]) == (ticket.job_id, True, 0)
    events = [*callslip.events(ticket.job_id)]
    assert callslip.wait(ticket.job_id, timeout=30).status is JobStatus.SUCCESS
    assert tuple(events) == callslip.history(ticket.job_id)
    assert [event.version for event in events] == [*range(1, len(events) + 1)]
    assert callslip.download(ticket.job_id, tmp_path / "back").read_bytes() == path.read_bytes()
    assert next(callslip.list(status="success", limit=1)).job_id == ticket.job_id
    assert callslip.queue().workers
    assert "n8n_notion" in {workflow.name for workflow in callslip.workflows()}


def test_events_go_on_when_the_api_is_killed_in_the_middle(stack: Stack, callslip: Callslip) -> None:
    ticket = callslip.submit(b"some words", filename="a.txt")
    events: list[HistoryEvent] = []
    for event in callslip.events(ticket.job_id):
        events.append(event)
        if event.type == "Delivered":
            stack.kill("uvicorn")
    assert events[-1].after is JobStatus.SUCCESS
    assert [event.version for event in events] == [*range(1, len(events) + 1)]


def test_the_command_submits_watches_lists_and_fetches(stack: Stack, tmp_path: Path) -> None:
    run, path = command(stack), tmp_path / "receipt.txt"
    path.write_text("12 coffees")
    waited = run("submit", path, "--wait", "--json")
    assert (waited.exit_code, json.loads(waited.stdout)["status"]) == (0, "success")
    job_id = json.loads(waited.stdout)["job_id"]
    assert run("watch", job_id).exit_code == 0
    assert job_id in run("list").stdout
    assert run("get", job_id, "--file", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
    assert run("cancel", job_id).exit_code == 2
    assert run("submit", path, "--param", "unknown=1").exit_code == 2


def test_the_doctor_finds_nothing_wrong(stack: Stack) -> None:
    result = command(stack)("doctor", "--json")
    assert result.exit_code == 0, result.stdout
    checks = json.loads(result.stdout)["checks"]
    assert {check["verdict"] for check in checks} == {"ok"}
    assert [check["name"] for check in checks] == [
        "address",
        "clock",
        "key",
        "database",
        "queue",
        "file store",
        "workers",
        "probe",
    ]


class FarSide(ThreadingHTTPServer):
    """Answers every delivery with one status, and never calls back."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Delivery)


class Delivery(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def test_the_doctor_names_what_is_wrong_with_the_far_side(tmp_path: Path) -> None:
    far_side = FarSide()
    thread = threading.Thread(target=far_side.serve_forever)
    thread.start()
    variables = {
        "N8N_WEBHOOK_URL": f"http://127.0.0.1:{far_side.server_port}/webhook/x",
        "N8N_WEBHOOK_TOKEN": secrets.token_urlsafe(32),
        "N8N_WEBHOOK_SECRET": secrets.token_urlsafe(32),
    }
    with running(tmp_path, **variables) as stack:
        for status, words in (
            (404, "is this its production URL (not the test URL)?"),
            (401, "its token differs from N8N_WEBHOOK_TOKEN"),
            (500, "answers with an error of its own"),
            (200, "the callback address (the service's PUBLIC_URL) is not reachable"),
        ):
            far_side.status = status
            result = command(stack)("doctor", "--within", "3")
            assert (result.exit_code, words in result.stdout) == (1, True), result.stdout
        far_side.shutdown()
        far_side.server_close()
        result = command(stack)("doctor")
        assert (result.exit_code, "the far side cannot be reached" in result.stdout) == (1, True), result.stdout
        with connected(stack) as callslip:
            assert {job.status for job in callslip.list()} <= {JobStatus.CANCELLED, JobStatus.FAILURE}
    thread.join()
