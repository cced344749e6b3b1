"""Power cuts at any moment of many uploads: whatever fsync had not forced is gone. No acknowledged upload is lost."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chaos import chain, collect
from chaos.clients import Clients, hand_in_all, upload
from chaos.disk_model import CALLS, Disk, Step, content, steps
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram
from chaos.stack import Setup, Stack, running

LONGEST_STRING = 2 * 1024 * 1024
ACKNOWLEDGED = b"HTTP/1.1 202"


async def run(setup: Setup) -> Outcome:
    """The row: one API is traced while it takes uploads; then the disk is rebuilt as it was at many moments."""
    if not shutil.which("strace"):
        return Outcome(skipped="there is no strace (Debian: apt install strace)")
    uploads, cuts, chance = setup.much(150, 600), setup.much(50, 1000), setup.chance()
    trace, base = setup.folder / "trace", setup.folder / "base"
    async with running(setup, settings={"AUTO_MIGRATE": "true"}) as stack:
        for name in ("worker-0", "api"):
            await stack.parts[name].stop()
        shutil.copytree(stack.data, base, ignore=shutil.ignore_patterns("*.sock", "metrics", "valkey"))
        await _trace(stack, trace)
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        made = [upload(chance, f"power-{setup.seed}-{index}", 60_000) for index in range(uploads)]
        await hand_in_all(clients, made, 0.0, at_once=6)
        await clients.close()
        await stack.parts["api"].stop()
        await stack.stop()
        return await asyncio.to_thread(_cut, setup, stack, Trace(trace, base), cuts)


async def _trace(stack: Stack, trace: Path) -> None:
    """Starts the API again, every call that matters written down."""
    part = stack.parts["api"]
    options = ["-f", "--seccomp-bpf", "-qq", "-xx", "-s", str(LONGEST_STRING), "-e", "signal=none"]
    command = ["strace", *options, "-e", f"trace={CALLS}", "-o", str(trace), *part.command]
    stack.part("api", command).start()
    await stack.until_ready()


class Trace:
    """The calls, and where in them what was acknowledged."""

    def __init__(self, trace: Path, base: Path) -> None:
        self.steps = list(steps(trace))
        self.base = base
        self.acks = [(index, job_id) for index, step in enumerate(self.steps) if (job_id := _acknowledged(step))]


def _acknowledged(step: Step) -> str | None:
    """The job's id, in the answer to its upload."""
    if step.result is not None or step.call not in ("write", "writev", "sendto", "sendmsg"):
        return None
    said = content(step.text)
    if not said.startswith(ACKNOWLEDGED):
        return None
    return said.partition(b"/api/v1/jobs/")[2][:36].decode()


def _cut(setup: Setup, stack: Stack, trace: Trace, cuts: int) -> Outcome:
    """Goes through the calls once, and cuts at random ones after the first acknowledgement."""
    chance = setup.chance("cuts")
    if not trace.acks:
        return Outcome(problems=["no acknowledgement was found in the trace"])
    first = trace.acks[0][0]
    moments = sorted(chance.sample(range(first, len(trace.steps)), min(cuts, len(trace.steps) - first)))
    disk, problems, lost, forced = _disk(stack, trace.base), list[str](), 0, 0
    kept: list[int] = []
    for index, step in enumerate(trace.steps):
        disk.take(step)
        forced += step.call in ("fsync", "fdatasync") and step.result == 0
        while moments and moments[0] == index:
            moments.pop(0)
            luck = None if chance.random() < 0.5 else random.Random(chance.random())
            acked = [job_id for at, job_id in trace.acks if at <= index]
            wrong = judge(setup.folder / "image", stack, disk.survivors(luck), acked)
            kept.append(len(acked))
            lost += sum(LOST in words for words in wrong)
            problems += [f"cut at call {index}: {words}" for words in wrong]
    figure = (
        f"{len(kept)} power cuts among {len(trace.steps)} steps ({forced} forced writes) of {len(trace.acks)} uploads: "
        f"{sum(kept)} acknowledgements looked at again, {lost} lost"
    )
    return Outcome(figures=[figure], problems=problems[:12])


LOST = "was acknowledged and is lost"


def _disk(stack: Stack, base: Path) -> Disk:
    """The disk as it was before, under the names that the process used."""
    disk = Disk(base)
    disk.names = {name.replace(str(base), str(stack.data), 1): inode for name, inode in disk.names.items()}
    disk.safe_names, disk.root = dict(disk.names), str(stack.data)
    return disk


def judge(image: Path, stack: Stack, files: Mapping[str, bytes], acked: list[str]) -> list[str]:
    """What is wrong on a disk that went through a power cut."""
    shutil.rmtree(image, ignore_errors=True)
    image.mkdir()
    stored = {}
    for name, data in files.items():
        path = Path(name)
        if "stored" in path.parts:
            stored[path.name] = hashlib.sha256(data).hexdigest()
        elif path.name in ("callslip.db", "callslip.db-wal"):
            (image / path.name).write_bytes(data)
    copy = replace(stack, settings={**stack.settings, "DATABASE_URL": f"sqlite:///{image}/callslip.db"}, cluster=None)
    try:
        sound = collect.query(copy, "PRAGMA integrity_check")[0]["integrity_check"]
        rows = {str(row["job_id"]): collect.row_of(row) for row in collect.query(copy, collect.ROWS)}
        lines = [collect.line_of(line) for line in collect.query(copy, collect.LINES)]
    except (sqlite3.Error, KeyError) as error:
        return [f"the database cannot be read: {error}"]
    wrong = [] if sound == "ok" else [f"the database is damaged: {sound}"]
    wrong += [f"{job_id} {LOST}" for job_id in acked if job_id not in rows or job_id not in stored]
    wrong += [f"{row.job_id} has no file, or another" for row in rows.values() if stored.get(row.job_id) != row.sha256]
    for row in rows.values():
        wrong += chain.wrong(row, [line for line in lines if line.job_id == row.job_id])
    return wrong


ROW = RowProgram(
    name="power",
    promise="power cuts in which only what fsync forced survives: 0 acknowledged uploads lost",
    goal="0 acknowledged uploads lost in 50 power cuts",
    goal_full="0 acknowledged uploads lost in 1,000 power cuts",
    run=run,
    takes=50,
)
