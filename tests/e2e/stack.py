"""The whole product in a folder of its own, started as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parents[2]
ENDED = ("success", "failure", "cancelled")
# Short periods, so that what takes hours by the contract is seen in seconds; the code is the same.
QUICK = {
    "RETRY_SCHEDULE": "0.3s,0.5s,1s,1s,1s,1s,1s",
    "AMBIGUITY_WAIT": "1s",
    "LEASE": "2s",
    "LEASE_RENEWAL": "0.5s",
    "SWEEP_EVERY": "0.3s",
    "FEED_EVERY": "0.3s",
    "DEMO_PACE": "0.05",
    "MIN_FREE_DISK": "1 MB",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], patience: float = 20.0, every: float = 0.05) -> Any:
    """The first true value of `condition`; fails after `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except httpx.TransportError:
            pass
        time.sleep(every)
    raise AssertionError(f"not within {patience} s: {condition}")


def command_of(process: psutil.Process) -> str:
    """The command line; nothing for a process that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # also a zombie
        return ""


class Stack:
    """A running Callslip. `client` speaks to its API with the key."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        self.variables = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")},
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.port),
            "LOG_FORMAT": "json",
            **QUICK,
            **variables,
        }
        self.log = folder / "launch.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "app.launch"]
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.variables, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, patience=30)
        key = re.search(r"^CALLSLIP_API_KEYS=[^:]+:([^,\n]+)", (self.folder / ".env").read_text(), re.MULTILINE)
        assert key
        self.key = key[1]
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )
        until(lambda: self.client.get("/health").json()["status"] == "ok")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(self.log.read_text()[-4000:])
        return (self.folder / ".env").exists() and httpx.get(f"http://127.0.0.1:{self.port}/health/live").is_success

    def stop(self) -> None:
        """As a supervisor does it; fails if anything is left behind."""
        family = self.family()
        self.client.close()
        self.process.send_signal(signal.SIGTERM)  # SIGINT is ignored where a shell started us in its background
        assert self.process.wait(45) == 0, self.log.read_text()[-4000:]
        _, alive = psutil.wait_procs(family, timeout=3)
        assert not alive, [one.cmdline() for one in alive]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        """The child process whose command line has this word."""
        return next(one for one in self.family() if word in command_of(one))

    def kill(self, word: str) -> None:
        """SIGKILL, and waits until the launcher has started another one."""
        victim = self.child(word)
        victim.kill()
        until(lambda: any(word in command_of(one) and one.pid != victim.pid for one in self.family()))

    def upload(self, name: str = "receipt.txt", content: bytes = b"12 coffees, 34.00", **fields: str) -> dict[str, Any]:
        answer = self.client.post("/api/v1/jobs", files={"file": (name, content)}, data=fields)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/api/v1/jobs/{job_id}").json())

    def ended(self, job_id: str, patience: float = 30) -> dict[str, Any]:
        """The job once it has ended."""

        def done() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job.get("status") in ENDED else None

        return dict(until(done, patience))

    def history(self, job_id: str) -> list[dict[str, Any]]:
        return list(self.client.get(f"/api/v1/jobs/{job_id}/history").json()["events"])

    def admin(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app.admin", *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False)


@contextmanager
def running(folder: Path, **variables: str) -> Iterator[Stack]:
    """A stack in `folder`, stopped at the end as a user stops it."""
    stack = Stack(folder, variables)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
