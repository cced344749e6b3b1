"""Hosts whose clocks differ by minutes share one PostgreSQL: no lease is stolen, no deadline is wrong."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from chaos import checker
from chaos.clients import Clients, hand_in_all, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.evidence import Evidence, Line
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

DEADLINE = 8.0
LATEST = 4.0  # seconds that a sweep on a busy machine may be late
ASKEW = {"worker-1": "+5m", "worker-2": "-5m"}


def library() -> str | None:
    """libfaketime, where Debian's package faketime has it."""
    return next((str(path) for path in Path("/usr/lib").glob("**/faketime/libfaketime.so.1")), None)


def askew(stack: Stack) -> None:
    """From now on, two of the workers believe in other times."""
    for name, offset in ASKEW.items():
        part = stack.parts[name]
        part.env |= {"LD_PRELOAD": library() or "", "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        part.kill()


async def until_all_work(stack: Stack, uploads: Callable[[], Awaitable[object]], patience: float = 60.0) -> None:
    """Hands in one after the other until each worker has had one: who is still starting has no clock that could be wrong."""
    until = monotonic() + patience
    while silent := [worker.name for worker in stack.workers() if not log_of(stack, worker.name).stat().st_size]:
        if monotonic() > until:
            raise RuntimeError(f"{silent} took no job: {stack.last_words()}")
        await uploads()
        await asyncio.sleep(0.1)


def log_of(stack: Stack, name: str) -> Path:
    """Where a part's output goes."""
    return stack.folder / f"{name}.log"


def believed(stack: Stack, name: str) -> float:
    """By how many seconds a worker's clock is off, as the last line of its log says."""
    line = log_of(stack, name).read_bytes().splitlines()[-1]
    return (datetime.fromisoformat(json.loads(line)["at"]) - datetime.now(UTC)).total_seconds()


async def run(setup: Setup) -> Outcome:
    """The row: slow, silent and busy far sides, so that leases, deadlines and retries all matter."""
    if not library():
        return Outcome(skipped="there is no libfaketime (Debian: apt install faketime)")
    number, chance = setup.much(200, 2000), setup.chance()
    far = {"manners": {"prompt": 3, "slow": 3, "busy": 2, "silent": 2}, "slow": 1.2}
    settings = {"CALLBACK_TIMEOUT": "2s", "CALLBACK_DEADLINE": f"{DEADLINE:g}s", "RETRY_JITTER": "0"}
    async with running(setup, workers=3, far=far, settings=settings) as stack:
        askew(stack)
        await stack.until_ready()
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        numbers = itertools.count()
        await until_all_work(
            stack, lambda: clients.hand_in(upload(chance, f"first-{setup.seed}-{next(numbers)}", 2000))
        )
        uploads = [upload(chance, f"clock-{setup.seed}-{index}", 2000) for index in range(number)]
        await hand_in_all(clients, uploads, 0.05)
        await until_ended(stack, 60)
        await clients.close()
        off = [round(believed(stack, name) / 60) for name in ASKEW]
        evidence = await stop_and_collect(stack, honest=False)
    stolen = sum(row.lost_leases for row in evidence.rows)
    late = [time for time in (_after_deadline(lines) for lines in _lives(evidence)) if time is not None]
    wrong = [time for time in late if not 0 <= time <= LATEST]
    problems = in_words(checker.check(evidence))
    problems += [] if off == [5, -5] else [f"the workers' clocks were off by {off} min, not as wanted"]
    problems += [f"a deadline was {time:+.1f} s off" for time in wrong[:5]]
    problems += [f"{stolen} leases were stolen"] if stolen else []
    figure = (
        f"{len(evidence.rows)} jobs, workers at 0, +5 and -5 min: {stolen} leases stolen, {len(wrong)} of {len(late)} "
        f"deadlines wrong (kept to {max(late, default=0):.1f} s)"
    )
    return Outcome(figures=[figure], problems=problems)


def _lives(evidence: Evidence) -> Sequence[Sequence[Line]]:
    lives: dict[str, list[Line]] = {}
    for line in evidence.lines:
        lives.setdefault(line.job_id, []).append(line)
    return list(lives.values())


def _after_deadline(lines: Sequence[Line]) -> float | None:
    """How long after its deadline a job failed that nobody called back for."""
    delivered = [line for line in lines if line.type == "Delivered"]
    failed = [line for line in lines if line.facts.get("error_type") == "callback_deadline"]
    if not delivered or not failed:
        return None
    return (datetime.fromisoformat(failed[-1].at) - datetime.fromisoformat(delivered[-1].at)).total_seconds() - DEADLINE


ROW = RowProgram(
    name="clocks",
    promise="hosts whose clocks differ by 5 min on one PostgreSQL: 0 leases stolen, 0 deadlines wrong",
    goal="0 leases stolen, 0 deadlines wrong at 5 minutes' difference",
    run=run,
    takes=60,
    databases=("postgresql",),
)
