"""The launcher's parts with small programs of their own: real processes, real signals, real files."""

import asyncio
import fcntl
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from app.core.settings import load_settings
from app.launch import programs
from app.launch.child import CannotStart, Program
from app.launch.claims import CannotLaunch, check_demo, check_port, claim_children, claim_data_dir, free_port
from app.launch.env_file import ensure_env_file
from app.launch.fleet import Fleet
from app.launch.greeting import greeting, wait_until_ready, without_path

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def program(code, name="one", grace=5.0, inherited=()):
    return Program(
        name=name,
        command=[sys.executable, "-c", code],
        environment=os.environ,
        grace=timedelta(seconds=grace),
        inherited=inherited,
    )


class Heard:
    """What was said, and a way to wait for it."""

    def __init__(self):
        self.lines = []

    def __call__(self, name, line):
        self.lines.append((name, line))

    async def line(self, pattern, times=1):
        async with asyncio.timeout(10):
            while True:
                found = [match for _, line in self.lines if (match := re.search(pattern, line))]
                if len(found) >= times:
                    return found[-1]
                await asyncio.sleep(0.01)


@pytest.fixture
def heard():
    return Heard()


@asynccontextmanager
async def fleet_of(heard, *programs):
    fleet = Fleet(heard)
    try:
        for one in programs:
            fleet.start(one)
        yield fleet
    finally:
        fleet.hurry.set()
        await fleet.stop(timedelta(seconds=60))


def alive(pid):
    try:
        return state_and_parent(pid)[0] != "Z"
    except FileNotFoundError:
        return False


def state_and_parent(pid):
    state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    return state, int(parent)


async def gone(*pids):
    async with asyncio.timeout(10):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - nobody tells when a stranger ends
            await asyncio.sleep(0.01)


SHOW_PID = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(600)"


async def test_a_killed_program_is_started_again(heard):
    async with fleet_of(heard, program(SHOW_PID)) as fleet:
        fleet.settle()
        for times in (1, 2, 3, 4):
            pid = int((await heard.line(r"^pid (\d+)", times))[1])
            os.kill(pid, signal.SIGKILL)
        await heard.line(r"^pid (\d+)", 5)
        assert not fleet.failed.done()
    assert ("callslip", "one ended (SIGKILL); starting it again in 0.2 s") in heard.lines


async def test_a_program_that_cannot_start_is_told_with_its_last_words(heard):
    async with fleet_of(heard, program("import sys; print('SECRET_KEY is missing'); sys.exit(2)")) as fleet:
        problem = await asyncio.wait_for(fleet.failed, 10)
    assert isinstance(problem, CannotStart)
    assert str(problem) == "one cannot start: it ended with status 2, 3 times"
    assert problem.lines == ("SECRET_KEY is missing",) * 3


async def test_a_program_that_does_not_exist_cannot_start(heard):
    nothing = Program(name="none", command=["/does/not/exist"], environment={})
    async with fleet_of(heard, nothing) as fleet:
        assert "status 127" in str(await asyncio.wait_for(fleet.failed, 10))


async def test_once_settled_a_program_may_fail_as_often_as_it_likes(heard):
    async with fleet_of(heard, program("import sys; sys.exit(3)")) as fleet:
        fleet.settle()
        await heard.line("ended", 4)
        assert not fleet.failed.done()


async def test_the_last_one_started_is_the_first_to_end(heard):
    says = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0))); print('up', flush=True); time.sleep(600)"
    async with fleet_of(heard, program(says, "first"), program(says, "second")) as fleet:
        await heard.line("up", 2)
        await fleet.stop(timedelta(seconds=60))
    assert [name for name, line in heard.lines if line == "bye"] == ["second", "first"]


async def test_a_program_that_does_not_listen_is_ended_after_its_grace(heard):
    async with fleet_of(heard, program(STUBBORN, grace=0.3)) as fleet:
        await heard.line("up")
        await asyncio.wait_for(fleet.stop(timedelta(seconds=60)), 5)


async def test_a_second_signal_ends_everybodys_grace(heard):
    async with fleet_of(heard, program(STUBBORN, grace=600)) as fleet:
        await heard.line("up")
        fleet.hurry.set()
        await asyncio.wait_for(fleet.stop(timedelta(seconds=60)), 5)


async def test_a_stop_as_a_whole_ends_in_time(heard):
    async with fleet_of(heard, *(program(STUBBORN, name, grace=60) for name in "ab")) as fleet:
        await heard.line("up", times=2)
        began = monotonic()
        await fleet.stop(timedelta(seconds=0.3))
        assert monotonic() - began < 5


async def test_what_a_program_started_itself_ends_with_it(heard):
    async with fleet_of(heard, program(PARENT)) as fleet:
        first = int((await heard.line(r"child (\d+)"))[1])
        os.kill(state_and_parent(first)[1], signal.SIGKILL)
        second = int((await heard.line(r"child (\d+)", 2))[1])
        await gone(first)
        await fleet.stop(timedelta(seconds=60))
        await gone(second)


async def test_a_program_in_its_pause_is_stopped_at_once(heard):
    async with fleet_of(heard, program("")) as fleet:
        await heard.line("starting it again")
        await asyncio.wait_for(fleet.stop(timedelta(seconds=60)), 5)


async def test_a_line_without_an_end_and_bytes_that_are_no_text_are_passed_on(heard):
    async with fleet_of(heard, program(r"import sys; sys.stdout.buffer.write(b'\xff' * 200000 + b'\nshort')")):
        assert len((await heard.line("�+"))[0]) > 1000
        await heard.line("^short$")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
async def test_nobody_outlives_a_launcher_that_was_killed(tmp_path):
    code = """
import asyncio
from app.launch.fleet import Fleet
from tests.test_launch import program, SHOW_PID
async def main():
    fleet = Fleet(lambda name, line: print(line, flush=True))
    fleet.start(program(SHOW_PID))
    await asyncio.sleep(600)
asyncio.run(main())
"""
    launcher = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    pid = int((await launcher.stdout.readline()).split()[1])
    launcher.kill()
    await launcher.communicate()
    await gone(pid)


def test_the_first_env_file_is_private_and_enough_to_start(tmp_path, monkeypatch):
    for name in ("CALLSLIP_API_KEYS", "SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / ".env"
    assert ensure_env_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = load_settings(path)
    values = [
        *settings.callslip_api_keys["me"],
        *settings.secret_key,
        settings.n8n_webhook_token,
        *settings.n8n_webhook_secret,
    ]
    assert len({value.get_secret_value() for value in [*values, *settings.callback_secret]}) == 5
    assert [entry.name for entry in tmp_path.iterdir()] == [".env"]


def test_an_env_file_that_is_there_is_not_touched(tmp_path):
    path = tmp_path / ".env"
    path.write_text("PORT=1\n")
    assert not ensure_env_file(path)
    assert path.read_text() == "PORT=1\n"


def test_the_data_folder_is_private_and_belongs_to_one_run(tmp_path):
    data = tmp_path / "deep" / "data"
    lock = claim_data_dir(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    with pytest.raises(CannotLaunch, match=rf"already runs with this DATA_DIR .* as process {os.getpid()}\."):
        claim_data_dir(data)
    os.close(lock)
    os.close(claim_data_dir(data))


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotLaunch, match=r"DATA_DIR=.*file/data cannot be used"):
        claim_data_dir(tmp_path / "file" / "data")


async def test_a_run_waits_for_the_processes_of_one_that_was_killed(tmp_path, heard):
    first = claim_children(tmp_path, timedelta(0), heard)
    async with fleet_of(heard, program(SLEEPER, inherited=(first,))) as fleet:
        await heard.line("up")
        os.close(first)
        with pytest.raises(CannotLaunch, match="earlier run"):
            claim_children(tmp_path, timedelta(0), heard)
        waiting = asyncio.create_task(asyncio.to_thread(claim_children, tmp_path, timedelta(seconds=10), heard))
        await heard.line("waiting for the processes of an earlier run")
        await fleet.stop(timedelta(seconds=60))
        lock = await waiting
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def test_a_port_in_use_is_told_with_the_way_out():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            CannotLaunch, match=rf"PORT={port} on 127.0.0.1 is in use. Choose another: PORT={port + 1} make run"
        ):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_a_demo_that_deliveries_may_not_reach_is_told(tmp_path):
    file = tmp_path / ".env"
    ensure_env_file(file)
    check_demo(load_settings(file))
    with file.open("a") as more:
        more.write("N8N_ALLOW_PRIVATE=false\n")
    with pytest.raises(CannotLaunch, match="set N8N_WEBHOOK_URL"):
        check_demo(load_settings(file))


def test_a_host_that_is_not_ours_is_told():
    with pytest.raises(CannotLaunch, match=r"HOST=203\.0\.113\.1"):
        check_port("203.0.113.1", free_port())


async def test_ready_is_what_the_service_says_after_it_answers():
    answers = iter(["", "not http", '{"nothing": 1}', '{"status": "degraded"}', '{"status": "ok"}'])

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + next(answers).encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await wait_until_ready("0.0.0.0", port, timedelta(seconds=10)) == "ok"
    assert await wait_until_ready("127.0.0.1", port, timedelta(seconds=0.1)) == "starting"


def test_the_greeting_names_a_workflows_place_and_not_its_path():
    assert without_path("https://n8n.example:8443/webhook/5b1cfa90?key=hush") == (
        "https://n8n.example:8443, at the path in N8N_WEBHOOK_URL"
    )


def test_the_greeting_shows_a_line_that_works_and_no_key(tmp_path, monkeypatch):
    monkeypatch.delenv("CALLSLIP_API_KEYS", raising=False)
    path = tmp_path / "a folder" / ".env"
    path.parent.mkdir()
    ensure_env_file(path)
    settings = load_settings(path)
    key = settings.callslip_api_keys["me"][0].get_secret_value()
    lines = greeting(settings, path, tmp_path, "the demo", "ok")
    assert not any(key in line for line in lines)
    (line,) = [line for line in lines if line.startswith("curl ")]
    shown = subprocess.run(
        ["sh", "-c", line.replace("curl", "printf '%s\\n'")], check=True, capture_output=True, text=True
    ).stdout
    assert f"Authorization: Bearer {key}\n" in shown
    assert shlex.split(line)[-1] == "http://127.0.0.1:8000/api/v1/jobs"
    monkeypatch.setenv("CALLSLIP_API_KEYS", f"a:{key},b:x")
    (line,) = [line for line in greeting(settings, path, tmp_path, "the demo", "ok") if line.startswith("curl ")]
    shown = subprocess.run(
        ["sh", "-c", line.replace("curl", "printf '%s\\n'")], check=True, capture_output=True, text=True
    ).stdout
    assert f"Authorization: Bearer {key}\n" in shown


@pytest.mark.parametrize("entry", [["-m", "app.launch"], ["-m", "uvicorn", "main:app"]])
def test_a_broken_workflow_stops_the_start_with_its_line(tmp_path, entry):
    ensure_env_file(tmp_path / ".env")
    (tmp_path / "workflows.toml").write_text('[workflow.invoices]\nurl = "ftp://127.0.0.1/"\nauth = "none"\n')
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(programs.ROOT), "PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, *entry], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "workflows.toml:2: [workflow.invoices] 'url' must be an address" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / ".data").exists()
