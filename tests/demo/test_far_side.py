"""The demo far side: what it takes, what it refuses, and how it calls back. Deliveries come from the real runner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import DeliveryTrouble
from app.domain.lifecycle import Delivered, TroubleKind
from app.domain.models import Job, JobStatus, new_job_id
from app.domain.signing import Capabilities
from app.domain.workflow import Workflow
from app.infrastructure.file_store_local import LocalFileStore
from app.infrastructure.http_client import FarClient, build_client
from app.infrastructure.runner_webhook import WebhookRunner
from app.infrastructure.webhook_target import Auth, DeliveryMode, WebhookTarget
from tests.far_side import Call, FarSide, answer, far_side, reply

TOKEN, SECRET = "token-0123456789-abcdefghijklmnop", "secret-0123456789-abcdefghijklmn"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0"
ROOT = Path(__file__).parents[2]


@dataclass
class Demo:
    """The running program."""

    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook/demo"

    def start(self) -> None:
        """Starts it (again) and waits until it listens."""
        self.process = subprocess.Popen([sys.executable, "-m", "demo.far_side"], env=self.environment, cwd=ROOT)
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, "the demo ended by itself"
                assert time.monotonic() < until, "the demo does not listen"
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def _running(folder: Path) -> Iterator[Demo]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "DEMO_PORT": str(port),
        "DEMO_PACE": "0.02",
        "DEMO_FOLDER": str(folder),
        "N8N_WEBHOOK_TOKEN": TOKEN,
        "N8N_WEBHOOK_SECRET": f"{SECRET}, another-0123456789-abcdefghijkl",
    }
    demo = Demo(port, environment)
    demo.start()
    try:
        yield demo
    finally:
        demo.kill()


@pytest.fixture(scope="module")
def shared_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """For tests that leave it running."""
    with _running(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """For tests that end it."""
    with _running(tmp_path / "demo") as demo:
        yield demo


@dataclass
class Sender:
    """Delivers jobs to the demo, with `service` in the place of Callslip."""

    service: FarSide
    files: LocalFileStore
    client: FarClient
    target: WebhookTarget

    async def job(self, content: bytes | None, filename: str = "a.png") -> Job:
        now = datetime.now(UTC)
        job_id = new_job_id(now)

        async def once() -> AsyncIterator[bytes]:
            yield content or b""

        file = None if content is None else await self.files.save(job_id, filename, once(), 10**9)
        return Job(
            job_id=job_id,
            client="me",
            workflow="w",
            status=JobStatus.PROCESSING,
            attempt=1,
            file=file,
            created_at=now,
            due_at=now,
        )

    async def deliver(self, job: Job, **changes: Any) -> Any:
        runner = WebhookRunner(
            replace(self.target, **changes),
            workflow=Workflow(name="w", title="w", schema={}, check=dict),
            client=self.client,
            files=self.files,
            capabilities=Capabilities((b"k" * 32,)),
            public_url=self.service.url,
            link_ttl=timedelta(days=1),
            clock=lambda: datetime.now(UTC),
            version="0.1",
        )
        return await runner.run(job)

    async def reports(self, count: int) -> list[dict[str, Any]]:
        """The first `count` callbacks, once they have come."""
        async with asyncio.timeout(20):
            while True:
                posts = [receipt for receipt in self.service.receipts if receipt.method == "POST" and receipt.complete]
                if len(posts) >= count:
                    return [json.loads(receipt.body) for receipt in posts]
                await asyncio.sleep(0.02)


@asynccontextmanager
async def sending(tmp_path: Path, demo: Demo) -> AsyncIterator[Sender]:
    files = LocalFileStore(tmp_path / "files", 0)
    target = WebhookTarget(url=demo.url, token=TOKEN, secrets=(SECRET.encode(),))
    async with far_side() as service, build_client(verify=True, ca_file=None, connections=5) as client:
        service.will(reply(200, "{}"))
        yield Sender(service, files, client, target)
    files.close()


@pytest.fixture
async def sender(tmp_path: Path, shared_demo: Demo) -> AsyncIterator[Sender]:
    async with sending(tmp_path, shared_demo) as sender:
        yield sender


@pytest.fixture
async def sender_to_end(tmp_path: Path, demo: Demo) -> AsyncIterator[Sender]:
    async with sending(tmp_path, demo) as sender:
        yield sender


async def test_a_delivery_is_taken_and_called_back_for_to_the_end(sender: Sender) -> None:
    job = await sender.job(PNG)
    event = await sender.deliver(job)
    assert isinstance(event, Delivered)
    assert event.execution_id == f"demo-{str(job.job_id)[-12:]}"
    reports = await sender.reports(4)
    assert [report["status"] for report in reports] == ["processing"] * 3 + ["success"]
    assert [(report["step"], report["steps"]) for report in reports[:3]] == [(1, 3), (2, 3), (3, 3)]
    assert [report["progress"] for report in reports[:3]] == [0.25, 0.5, 0.75]
    assert all(report["message"] for report in reports[:3])
    assert reports[3]["result_message"] == f"A PNG image of 640 by 480 pixels, {len(PNG)} bytes"
    assert reports[3]["result"]["sha256"] == sha256(PNG).hexdigest()
    assert reports[3]["result"]["media_type"] == "image/png"
    receipt = sender.service.receipts[0]
    assert receipt.path == f"/api/v1/jobs/{job.job_id}/callback"
    assert (receipt.header("authorization") or "").startswith("Bearer ")


async def test_a_repeat_is_answered_alike_and_done_once(sender: Sender) -> None:
    job = await sender.job(b"text\n")
    first = await sender.deliver(job)
    second = await sender.deliver(replace(job, attempt=2))
    assert first.execution_id == second.execution_id
    await sender.reports(4)
    await asyncio.sleep(0.2)
    assert len(await sender.reports(4)) == 4


async def test_a_file_that_asks_for_it_fails(sender: Sender) -> None:
    await sender.deliver(await sender.job(b"text", "please-fail.txt"))
    report = (await sender.reports(4))[3]
    assert report["status"] == "failure"
    assert "please-fail" in report["error"]


async def test_a_job_without_a_file_succeeds_too(sender: Sender) -> None:
    await sender.deliver(await sender.job(None))
    report = (await sender.reports(4))[3]
    assert (report["status"], report["result"]) == ("success", {"kind": "none"})


async def test_a_jwt_opens_as_well(sender: Sender) -> None:
    assert isinstance(await sender.deliver(await sender.job(PNG), auth=Auth.JWT), Delivered)


@pytest.mark.parametrize("change", [{"delivery": DeliveryMode.LINK}, {"multipart_limit": 1}])
@pytest.mark.parametrize(("served", "status"), [(PNG, "success"), (PNG + b"!", "failure")])
async def test_a_linked_file_is_fetched_and_compared(
    sender: Sender, change: dict[str, Any], served: bytes, status: str
) -> None:
    async def service(call: Call) -> None:
        await call.read_body()
        await call.send(answer(200, served if call.receipt.method == "GET" else "{}"))

    sender.service.will(service)
    await sender.deliver(await sender.job(PNG), **change)
    report = (await sender.reports(4))[3]
    assert report["status"] == status


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"secrets": (b"another-secret-0123456789-abcdef",)}, 401),
        ({"token": "wrong-0123456789-abcdefghijklmno"}, 403),
        ({"token": "wrong-0123456789-abcdefghijklmno", "auth": Auth.JWT}, 403),
        ({"auth": Auth.NONE}, 401),
    ],
)
async def test_a_stranger_is_refused(sender: Sender, change: dict[str, Any], status: int) -> None:
    with pytest.raises(DeliveryTrouble, match=str(status)) as caught:
        await sender.deliver(await sender.job(PNG), **change)
    assert caught.value.kind == TroubleKind.REFUSED
    assert sender.service.receipts == []


async def test_a_callback_is_repeated_until_the_service_is_back(sender: Sender) -> None:
    sender.service.will(*[reply(503)] * 5, reply(200, "{}"))
    await sender.deliver(await sender.job(PNG))
    reports = await sender.reports(8)
    assert reports[-1]["status"] == "success"


async def test_what_was_begun_is_finished_after_a_kill(sender_to_end: Sender, demo: Demo, tmp_path: Path) -> None:
    sender = sender_to_end
    sender.service.will(reply(503))
    await sender.deliver(await sender.job(PNG))
    await sender.reports(1)
    demo.kill()
    sender.service.receipts.clear()
    sender.service.will(reply(200, "{}"))
    demo.start()
    assert (await sender.reports(4))[3]["status"] == "success"
    await asyncio.sleep(0.2)
    assert list((tmp_path / "demo").iterdir()) == []


async def test_a_delivery_that_cannot_be_written_down_is_refused_with_nothing_begun(
    sender_to_end: Sender, tmp_path: Path
) -> None:
    (tmp_path / "demo").rmdir()
    job = await sender_to_end.job(PNG)
    with pytest.raises(DeliveryTrouble) as trouble:
        await sender_to_end.deliver(job)
    assert trouble.value.kind is TroubleKind.UNAVAILABLE
    (tmp_path / "demo").mkdir()
    await sender_to_end.deliver(job)
    assert len(await sender_to_end.reports(4)) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_when_asked_also_with_work_open(
    sender_to_end: Sender, demo: Demo, number: signal.Signals
) -> None:
    sender = sender_to_end
    sender.service.will(reply(503))
    await sender.deliver(await sender.job(PNG))
    demo.process.send_signal(number)
    status = await asyncio.to_thread(demo.process.wait, 5)
    assert status in (0, -number)
