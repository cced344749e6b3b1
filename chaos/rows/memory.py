"""One very large upload, and its delivery with the file attached: how much the processes grow."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from time import monotonic

import aiohttp

from chaos import checker
from chaos.clients import MARK, Clients, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.parts import Part
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, running

MIB = 1024 * 1024
MOST_RISE = 32 * MIB


class Peak:
    """Watches the resident memory of a part."""

    def __init__(self, part: Part) -> None:
        self.part, self.start, self.highest = part, _resident(part), 0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            self.highest = max(self.highest, _resident(self.part))
            await asyncio.sleep(0.02)

    def rise(self) -> int:
        """Bytes above the start; ends the watch."""
        self._task.cancel()
        return max(0, self.highest - self.start)


def _resident(part: Part) -> int:
    return sum(process.memory_info().rss for process in part.family())


async def run(setup: Setup) -> Outcome:
    """The row: some small jobs to warm up, then the large one."""
    size, chance = setup.much(2048, 10_240) * MIB, setup.chance()
    block = MARK + chance.randbytes(MIB - len(MARK))
    limits = {"MAX_UPLOAD_SIZE": str(size + MIB), "N8N_MULTIPART_LIMIT": str(size + MIB), "N8N_TIMEOUT": "60s"}
    async with running(
        setup, far={"manners": {"prompt": 1}}, settings={**limits, "CALLBACK_DEADLINE": "1h", "LEASE": "10s"}
    ) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        for index in range(30):
            await clients.hand_in(upload(chance, f"small-{setup.seed}-{index}", 300_000))
        await until_ended(stack, 60)
        api, worker = Peak(stack.parts["api"]), Peak(stack.parts["worker-0"])
        began = monotonic()
        job = await _hand_in_large(clients, block, size // MIB)
        uploaded = monotonic() - began
        await until_ended(stack, 300)
        delivered = monotonic() - began - uploaded
        rises = {"API": api.rise(), "worker": worker.rise()}
        await clients.close()
        evidence = await stop_and_collect(stack)
    problems = in_words(checker.check(evidence))
    problems += [f"the {name} grew by {rise / MIB:.0f} MiB" for name, rise in rises.items() if rise > MOST_RISE]
    digest = _digest(block, size // MIB)
    if [stored.sha256 for stored in evidence.stored if stored.job_id == job] != [digest]:
        problems.append("the stored file is not what was sent")
    figures = [
        f"{size / MIB:.0f} MiB handed in within {uploaded:.0f} s: the API grew by {rises['API'] / MIB:.1f} MiB",
        f"delivered, attached, within {delivered:.0f} s: the worker grew by {rises['worker'] / MIB:.1f} MiB",
    ]
    said = ", ".join(f"{name} {rise / MIB:.1f} MiB" for name, rise in rises.items())
    return Outcome(measured=f"{size // MIB} MiB: {said} more", figures=figures, problems=problems)


def _digest(block: bytes, times: int) -> str:
    digest = hashlib.sha256()
    for _ in range(times):
        digest.update(block)
    return digest.hexdigest()


async def _hand_in_large(clients: Clients, block: bytes, times: int) -> str:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(times):
            yield block

    form = aiohttp.FormData()
    form.add_field("file", blocks(), filename="large.bin", content_type="application/octet-stream")
    url, patience = f"{clients.stack.url}/api/v1/jobs", aiohttp.ClientTimeout(total=900)
    async with clients.session.post(url, data=form, timeout=patience) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["job_id"])


ROW = RowProgram(
    name="memory",
    promise="an upload of 2 GiB, and its delivery, raise resident memory by at most 32 MiB",
    goal="at most 32 MiB more for 2 GiB",
    goal_full="at most 32 MiB more for 10 GiB",
    run=run,
    takes=60,
)
