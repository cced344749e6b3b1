"""`python -m app.launch` as a person runs it: from an empty folder to a finished job, through deaths, to nothing left."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.core.settings import Settings
from app.launch.claims import free_port

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Run:
    """One launcher in a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.output = folder / "output.txt"
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)
        settings = {field.upper() for field in Settings.model_fields}
        own = {name: value for name, value in os.environ.items() if name not in settings}
        self.environment = {**own, "PORT": str(port), "PYTHONPATH": str(ROOT), "DEMO_PACE": "0.05"}
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "app.launch"]
        with self.output.open("wb") as output:
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=output, stderr=output)

    def children(self) -> dict[str, int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        named = {Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "): int(pid) for pid in found}
        words = {"queue": "valkey", "demo": "demo.far_side", "worker": "rq_worker.py", "api": "uvicorn main:app"}
        return {name: pid for name, word in words.items() for line, pid in named.items() if word in line}

    async def until(self, holds, what):
        for _ in range(600):
            if await holds():
                return
            assert self.process.poll() is None, self.output.read_text()
            await asyncio.sleep(0.05)
        pytest.fail(f"{what} did not come true:\n{self.output.read_text()}")

    async def ready(self) -> bool:
        try:
            return bool((await self.client.get("/health/ready")).json()["status"] == "ok")
        except httpx.TransportError:
            return False

    async def greeted(self) -> bool:
        return "curl -sS" in self.output.read_text()


@pytest.fixture
async def run(tmp_path):
    run = Run(tmp_path, free_port())
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        await run.client.aclose()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_from_an_empty_folder_to_a_finished_job_through_deaths_to_nothing_left(run):
    await run.until(run.greeted, "the greeting")
    (line,) = re.findall(r"^curl .*$", run.output.read_text(), re.MULTILINE)
    answer = await asyncio.to_thread(subprocess.run, ["sh", "-c", line], capture_output=True, check=True)
    job = json.loads(answer.stdout)
    page = job["links"]["self"]
    key = re.search(r"^CALLSLIP_API_KEYS=me:(.*)$", (run.folder / ".env").read_text(), re.MULTILINE)[1]
    run.client.headers["Authorization"] = f"Bearer {key}"

    async def succeeded():
        return (await run.client.get(page)).json()["status"] == "success"

    await run.until(succeeded, "the job's success")
    assert key not in run.output.read_text()

    before = run.children()
    assert set(before) == {"queue", "demo", "worker", "api"}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)

    async def all_back():
        now = run.children()
        return set(now) == set(before) and not set(now.values()) & set(before.values()) and await run.ready()

    await run.until(all_back, "everybody's return")
    await run.until(succeeded, "the job's success, still")

    mine = run.children().values()
    run.process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(run.process.wait, 60) == 0
    assert not [pid for pid in mine if alive(pid)]


async def test_a_launcher_that_is_killed_leaves_nobody_and_can_be_started_again(run):
    await run.until(run.ready, "readiness")
    orphans = list(run.children().values())
    run.process.kill()
    run.process.wait()
    run.process = run.start()
    await run.until(run.greeted, "the greeting of the next one")
    assert not [pid for pid in orphans if alive(pid)]
    run.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(run.process.wait, 60) == 0
