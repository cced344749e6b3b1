"""Real and fake Redis servers for the suites: each test gets its own, on a socket file or a free port."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from fakeredis import TcpFakeServer

from app.domain.models import JobId, new_job_id
from app.domain.protocols import JobQueue
from app.infrastructure.valkey_embedded import EmbeddedValkey


class RealValkey:
    """A Valkey that can be killed, brought back, paused and looked into."""

    def __init__(self) -> None:
        # pytest's own folders are too deep for a socket file.
        self.folder = Path(tempfile.mkdtemp(prefix="cs-"))
        self._valkey = EmbeddedValkey(self.folder)
        self.url = self._valkey.url
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        self._process = subprocess.Popen(self._valkey.command(), stdin=subprocess.DEVNULL, start_new_session=True)
        self._valkey.wait_ready(10)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        self.client.close()
        if self._process is not None:
            self.resume()
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def valkey() -> Iterator[RealValkey]:
    server = RealValkey()
    server.start()
    yield server
    server.close()


@pytest.fixture
def absent_valkey() -> Iterator[RealValkey]:
    """A server that was not started yet."""
    server = RealValkey()
    yield server
    server.close()


def eventually(holds: Callable[[], bool], within: float = 5.0) -> bool:
    """Whether `holds` becomes true in time."""
    until = time.monotonic() + within
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def fake_redis_url() -> Iterator[str]:
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()


def new_id() -> JobId:
    """The id of a job that was created now."""
    return new_job_id(datetime.now(UTC))


async def rung(queue: JobQueue, *job_ids: JobId) -> None:
    """Ring, and give the doorbells the time to reach Redis."""
    for job_id in job_ids:
        queue.ring(job_id)
    await asyncio.sleep(0.15)
