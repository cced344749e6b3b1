"""The command as people and scripts use it."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from callslip_client.cli import app
from callslip_client.models import job
from callslip_client.words import now, table
from tests.client.service import KEY, Service
from tests.client.wire_parts import Fault, problem

Run = Callable[..., Result]
SUCCESS = {"result_message": "Page created", "notion_page_url": "https://www.notion.so/x"}


@pytest.fixture
def run(service: Service) -> Run:
    variables = {"CALLSLIP_URL": service.url, "CALLSLIP_API_KEY": KEY, "COLUMNS": "100"}
    return lambda *words, **more: CliRunner().invoke(app, [str(word) for word in words], env={**variables, **more})


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    path = tmp_path / "receipt.txt"
    path.write_text("12 coffees")
    return path


def finished(service: Service, status: str = "success", **changes: object) -> str:
    job_id = service.add_job(b"content", "a.txt")
    service.finish(job_id, status, **{**SUCCESS, **changes})
    return job_id


def test_submit_prints_the_id_and_the_page(run: Run, service: Service, receipt: Path) -> None:
    result = run("submit", receipt, "--workflow", "w", "--param", "notion_database_id=a=b")
    assert result.exit_code == 0
    (job_id,) = service.jobs
    assert result.stdout.splitlines() == [job_id, f"page {service.url}/jobs/{job_id}?token=t"]
    assert (service.jobs[job_id]["workflow"], service.jobs[job_id]["params"]) == ("w", {"notion_database_id": "a=b"})


def test_the_command_of_a_checkout_works_from_any_folder(service: Service, tmp_path: Path) -> None:
    link = tmp_path / "callslip"
    link.symlink_to(Path(__file__).parents[2] / "scripts" / "callslip")
    known = {"PATH": os.environ["PATH"], "CALLSLIP_URL": service.url, "CALLSLIP_API_KEY": KEY}
    done = subprocess.run([link, "list", "--json"], cwd=tmp_path, env=known, capture_output=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(("status", "code"), [("success", 0), ("failure", 1), ("cancelled", 1)])
def test_submit_and_wait_ends_as_the_job_does(
    run: Run, service: Service, receipt: Path, status: str, code: int
) -> None:
    service.after_submit = [("Started", "processing", {}), ("Ended", status, SUCCESS)]
    result = run("submit", receipt, "--wait")
    assert result.exit_code == code
    assert result.stdout.startswith(status)
    assert "Page created\nhttps://www.notion.so/x\n" in result.stdout
    assert "a worker has it" in result.stderr


def test_in_json_stdout_is_one_document_and_nothing_else(
    run: Run, service: Service, receipt: Path, tmp_path: Path
) -> None:
    service.after_submit = [("Ended", "success", SUCCESS)]
    ticket = json.loads(run("submit", receipt, "--json").stdout)
    assert (ticket["status"], "links" in ticket) == ("success", True)
    job_id = ticket["job_id"]
    assert json.loads(run("submit", receipt, "--wait", "--json").stdout)["result_message"] == "Page created"
    assert json.loads(run("get", job_id, "--json").stdout) == service.jobs[job_id]
    assert json.loads(run("get", job_id, "--file", tmp_path / "out", "--json").stdout)["job_id"] == job_id
    assert [job["job_id"] for job in json.loads(run("list", "--json").stdout)] == sorted(service.jobs, reverse=True)
    assert "job_id" in json.loads(run("retry", job_id, "--json").stdout)
    assert json.loads(run("cancel", service.add_job(), "--json").stdout)["status"] == "cancelled"
    assert json.loads(run("doctor", "--json").stdout)["ok"] is True


def test_watch_in_json_is_one_line_for_each_event(run: Run, service: Service) -> None:
    job_id = finished(service)
    result = run("watch", job_id, "--json")
    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == service.lines[job_id]


def test_watch_tells_how_it_ended(run: Run, service: Service) -> None:
    job_id = finished(service, "failure", result_message=None, error={"type": "workflow", "detail": "Notion said: no"})
    result = run("watch", job_id)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].startswith("failure")
    assert "Notion said: no" in result.stdout
    assert "progress: half" in result.stderr


def test_get_shows_the_job_and_saves_its_file(run: Run, service: Service, tmp_path: Path) -> None:
    job_id = finished(service)
    shown = run("get", job_id)
    assert shown.exit_code == 0
    assert all(word in shown.stdout for word in (job_id, "success", "a.txt, 7 bytes", "Page created"))
    assert run("get", job_id, "--file", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out").read_bytes() == b"content"


def test_list_is_a_table_newest_first(run: Run, service: Service) -> None:
    ids = [finished(service) for _ in range(3)]
    lines = run("list", "--limit", "2").stdout.splitlines()
    assert lines[0].split() == ["JOB", "STATUS", "WORKFLOW", "AGE", "FILE"]
    assert [line.split()[0] for line in lines[1:]] == ids[:0:-1]
    assert run("list", "--status", "failure").stdout == ""


def test_what_others_wrote_cannot_speak_to_the_terminal(run: Run, service: Service) -> None:
    job_id = service.add_job(b"x", "a\x1b[2J[red]\u202egpj.txt")
    service.advance(job_id, "Progressed", "waiting", {"progress_message": "\x1b]0;evil\x07[bold]"})
    service.advance(job_id, "Completed", "success", result_message="\x1b[31mred\r\nnew line")
    for words in (("get", job_id), ("list",), ("watch", job_id)):
        result = run(*words)
        assert "\x1b" not in result.output
        assert "\u202e" not in result.output
    assert "]0;evil [bold]" in run("watch", job_id).stderr


@pytest.mark.parametrize(
    "words",
    [("submit",), ("submit", "x", "--param", "novalue"), ("submit", "x", "--param", "a=1", "--param", "a=2"), ("nonsense",), ("list", "--status", "odd"), ("list", "--limit", "0"), ("watch",)],
)  # fmt: skip
def test_wrong_usage_is_two(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("get", "nope"), "callslip: there is no job with this id (404)"),
        (("submit", "/none/x.txt"), "callslip: /none/x.txt: No such file or directory"),
        (("submit", "/dev"), "is not a file that can be handed in"),
    ],
)
def test_errors_are_one_sentence(run: Run, words: tuple[str, ...], sentence: str) -> None:
    result = run(*words, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_key_is_never_printed(run: Run) -> None:
    for words in (("list",), ("doctor",), ("watch", "x")):
        result = run(*words, CALLSLIP_API_KEY="wrong-key-that-must-not-be-shown")
        assert result.exit_code == 2
        assert "wrong-key" not in result.output
        assert "CALLSLIP_API_KEY" in result.output


def test_nobody_at_the_address_is_two(run: Run, service: Service) -> None:
    service.stop()
    result = run("list")
    assert result.exit_code == 2
    assert "cannot be reached" in result.stderr
    assert run("list", CALLSLIP_URL="nonsense").exit_code == 2
    service.start()


def test_a_refusal_names_each_field(run: Run, service: Service, receipt: Path) -> None:
    refusal = problem(422, "refused", errors=[{"field": "notion_database_id", "message": "is no id"}])
    service.fails("POST", "/jobs", Fault(422, {}, refusal))
    result = run("submit", receipt)
    assert result.exit_code == 2
    assert "notion_database_id: is no id" in result.stderr


@pytest.fixture
def command(service: Service) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the real command; stderr is what is given."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        variables = {**os.environ, "CALLSLIP_URL": service.url, "CALLSLIP_API_KEY": KEY, "TERM": "xterm"}
        command = [sys.executable, "-m", "callslip_client", *words]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=variables))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("words", [("watch",), ("watch", "--json"), ("submit", "--wait")])
def test_ctrl_c_while_watching_says_that_the_job_goes_on(
    command: Callable[..., subprocess.Popen[bytes]], service: Service, receipt: Path, words: tuple[str, ...]
) -> None:
    subject = str(receipt) if words[0] == "submit" else service.add_job()
    process = command(*words, subject)
    deadline = time.monotonic() + 20
    while not service.calls("GET", "/events") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    (job_id,) = service.jobs
    assert f"the job goes on. To see it again: callslip watch {job_id}" in errors.decode()
    assert b"Traceback" not in errors


def test_on_a_terminal_there_are_bars_on_stderr_only(
    command: Callable[..., subprocess.Popen[bytes]], service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(5_000_000))
    leader, follower = pty.openpty()
    process = command("submit", "--wait", str(path), stderr=follower)
    os.close(follower)

    def work() -> None:
        while not service.calls("GET", "/events"):
            time.sleep(0.05)
        (job_id,) = service.jobs
        progress = {"fraction": 0.4, "step": 2, "steps": 5, "message": "Creating the page"}
        service.advance(job_id, "Progressed", "waiting", progress=progress)
        time.sleep(0.5)
        service.advance(job_id, "Completed", "success", **SUCCESS)

    thread = threading.Thread(target=work)
    thread.start()
    seen = b"".join(iter(lambda: _read(leader), b""))
    output, _ = process.communicate(timeout=10)
    thread.join()
    os.close(leader)
    assert process.returncode == 0
    assert output.startswith(b"success")
    assert b"\x1b" not in output
    assert b"handing in" in seen
    assert "step 2 of 5: Creating the page" in seen.decode()


def _read(leader: int) -> bytes:
    if not select.select([leader], [], [], 30)[0]:
        return b""
    try:
        return os.read(leader, 65536)
    except OSError:  # the other side was closed
        return b""


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_ids_and_statuses_are_whole_on_any_terminal(service: Service, width: int) -> None:
    job_id = service.add_job(b"x", "a very long name of a file that goes on and on.txt", "a_workflow_with_a_long_name")
    service.advance(job_id, "Started", "processing", progress={"message": "a message " * 20})
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table([job(service.jobs[job_id])], now(), width))
    line = console.export_text().splitlines()[1]
    assert line.startswith(f"{job_id}  processing  ")
    assert len(line) <= width
