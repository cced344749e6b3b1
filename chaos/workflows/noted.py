"""Workflows that note each of their runs outside the product, and end their worker where a job's plan says so."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, Field

from app.domain.models import Json
from app.domain.work import Work
from app.workflows.declaration import local_workflow, step

HERE = Path(__file__).resolve().parent  # in a run a folder of its own
JOURNAL = HERE.parent / "runs.jsonl"
FUSES = HERE.parent / "fuses"


class Plan(BaseModel):
    """Where the worker dies, or waits until it is told to go on, such as `compute end`: once at each of these, however
    often it comes by there."""

    dies: list[str] = Field(default_factory=list)
    waits: list[str] = Field(default_factory=list)
    pace: float = 0.05


class Tick(BaseModel):
    """Whose turn it was."""

    name: str


def note(**record: Json) -> None:
    """One line, in one write, that outlives this process."""
    descriptor = os.open(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, json.dumps({"kind": "run", "at": time.time(), **record}).encode() + b"\n")
    os.close(descriptor)


async def reach(work: Work, point: str) -> None:
    """SIGKILL to this worker, or a wait, if it is planned here and has not happened yet."""
    fuse = FUSES / f"{work.job_id} {point}"
    for plan in ("dies", "waits"):
        planned = work.params[plan]
        if not isinstance(planned, list) or point not in planned:
            continue
        with suppress(FileExistsError):
            fuse.touch(exist_ok=False)
            if plan == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            while not fuse.with_suffix(".go").exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.01)


def pace_of(work: Work) -> float:
    return float(str(work.params["pace"]))


async def wait(work: Work) -> None:
    await asyncio.sleep(pace_of(work))


async def compute(work: Work) -> None:
    await work.off_loop(time.sleep, pace_of(work))


async def tell(work: Work) -> None:
    for share in (0.3, 0.6):
        await work.progress(share, f"at {share:g}")
        await asyncio.sleep(pace_of(work) / 2)


def noted(name: str, inside: Callable[[Work], Awaitable[None]]) -> Callable[[Work], Awaitable[Json]]:
    """A step that does `inside`, and says when it began, what it saw of the steps before, and when it ended. What it
    returns is a token of this run alone."""

    async def run(work: Work) -> Json:
        token = uuid.uuid4().hex
        named: dict[str, Json] = {"job_id": str(work.job_id), "step": name, "token": token}
        note(**named, phase="began", saw=dict(work.outputs))
        await reach(work, f"{name} begin")
        await inside(work)
        await reach(work, f"{name} middle")
        await inside(work)
        note(**named, phase="ended")
        await reach(work, f"{name} end")
        return token

    return run


async def tick(work: Work) -> Json:
    note(job_id=str(work.job_id), step="tick", token=uuid.uuid4().hex, phase="began", saw={}, name=work.params["name"])
    return None


STEPS = {"gather": wait, "compute": compute, "write": tell, "finish": wait}
WORKFLOWS = (
    local_workflow(
        "noted",
        "Four steps, each of them noted",
        Plan,
        [step(name.capitalize(), noted(name, inside), name=name) for name, inside in STEPS.items()],
        in_flight=1,  # so that who ends its worker ends no other job's
    ),
    local_workflow("tick", "What a schedule hands in", Tick, [step("Tick", tick)], in_flight=8),
)
