"""A stop of the whole while everything is under way: in time, nothing lost, and nothing left outside the data folder."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.e2e.stack import ROOT, Stack, until
from tests.far_side import FarSide, far_side, hang, reply

AS_INSTALLED = "AS_INSTALLED" in os.environ  # then with the drain of the defaults, to be measured: 25 s are promised
DRAIN = 12 if AS_INSTALLED else 1
BESIDE = 13
JOBS = 6


@asynccontextmanager
async def half_an_upload(stack: Stack) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A form whose second half does not come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\nAuthorization: Bearer " + stack.key.encode() + b"\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="half.txt"\r\n\r\n' + b"half" * 5000
    )
    await writer.drain()
    yield reader, writer
    writer.close()


async def follow(stack: Stack, path: str) -> str:
    """What came until the service ended it."""
    headers = {"Authorization": f"Bearer {stack.key}"}
    text = ""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.port}", headers=headers, timeout=60) as client:
        try:
            async with client.stream("GET", path) as answer:
                async for piece in answer.aiter_text():
                    text += piece
        except httpx.RemoteProtocolError:
            pass
    return text


def deliveries(far: FarSide) -> list[str]:
    return [
        receipt.header("webhook-id") or "" for receipt in far.receipts if receipt.path == "/hook" and receipt.complete
    ]


def stop(stack: Stack) -> float:
    """SIGTERM to the launcher; the seconds until it and all of its own are gone."""
    family = stack.family()
    stack.client.close()
    began = time.monotonic()
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(60) == 0, stack.log.read_text()[-4000:]
    seconds = time.monotonic() - began
    assert not [one.pid for one in family if one.is_running() and one.status() != "zombie"]
    return seconds


def prepared(folder: Path, far: FarSide) -> Stack:
    for name in ("home", "elsewhere"):
        (folder / name).mkdir()
    secret = "s" * 12 + "t" * 12
    variables = {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "elsewhere"),
        "DRAIN_TIMEOUT": f"{DRAIN}s",
        "N8N_WEBHOOK_URL": f"{far.url}/hook",
        "N8N_WEBHOOK_TOKEN": secret,
        "N8N_WEBHOOK_SECRET": secret,
        "NOTIFY_URL": f"{far.url}/notify",
        "NOTIFY_SECRET": secret,
        "WORKFLOWS_FILE": str(folder / "none.toml"),
        "DATA_DIR": "data",
    }
    return Stack(folder, variables)


async def under_way(stack: Stack, far: FarSide) -> list[str]:
    """Jobs whose deliveries hang, and one that has ended and whose notice hangs; all of them acknowledged."""
    far.will(hang)
    ids = [(await asyncio.to_thread(stack.upload, f"{number}.txt"))["job_id"] for number in range(JOBS)]
    await asyncio.to_thread(until, lambda: len(set(deliveries(far))) == JOBS)
    assert stack.client.post(f"/api/v1/jobs/{ids[0]}/cancel").status_code == 200
    await asyncio.to_thread(until, lambda: any(receipt.path == "/notify" for receipt in far.receipts))
    return ids


async def test_a_stop_in_the_middle_of_everything_is_in_time_and_loses_nothing(tmp_path: Path) -> None:
    newest = time.time()
    async with far_side() as far:
        stack = prepared(tmp_path, far)
        await asyncio.to_thread(stack.start)
        ids = await under_way(stack, far)
        async with half_an_upload(stack) as (reader, _), asyncio.TaskGroup() as watching:
            waits = [f"/api/v1/jobs/{ids[1]}/events", f"/api/v1/jobs/{ids[2]}?wait=60"]
            told = [watching.create_task(follow(stack, path)) for path in waits]
            await asyncio.sleep(0.3)
            seconds = await asyncio.to_thread(stop, stack)
            assert b" 202 " not in await reader.read()
        assert seconds < DRAIN + BESIDE, seconds
        assert "event: Started" in told[0].result()

        far.receipts.clear()
        far.will(reply(200, "{}"))
        await asyncio.to_thread(stack.start)
        open_ones = set(ids[1:])
        await asyncio.to_thread(until, lambda: set(deliveries(far)) == open_ones)
        await asyncio.to_thread(until, lambda: {stack.job(one)["status"] for one in open_ones} == {"waiting"})
        await asyncio.to_thread(until, lambda: ids[0].encode() in b"".join(notices(far)))
        listed = stack.client.get("/api/v1/jobs").json()["jobs"]
        assert {job["job_id"] for job in listed} == set(ids)  # half an upload is none
        assert all(stack.client.get(f"/api/v1/jobs/{one}/file").content for one in ids)
        await asyncio.to_thread(stop, stack)
    assert written(tmp_path, newest) == {".env", "data", "elsewhere", "home", "launch.log"}
    if AS_INSTALLED:
        print(f"ended within {seconds:.1f} s")  # noqa: T201 - the figure that was asked for


def written(folder: Path, since: float) -> set[str]:
    """What there is in the folder, and what was written into temporary folders, a home, or beside the code."""
    outside = [*(folder / "home").iterdir(), *(folder / "elsewhere").iterdir()]
    changed = [path for path in (ROOT / "app").rglob("*") if path.is_file() and path.stat().st_mtime > since]
    ours = [path for path in changed if path.parent.name != "__pycache__"]  # these are Python's own
    return {path.name for path in [*folder.iterdir(), *outside, *ours]}


def notices(far: FarSide) -> list[bytes]:
    return [receipt.body for receipt in far.receipts if receipt.path == "/notify"]
