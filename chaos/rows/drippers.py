"""Clients that send a byte a second, of a head or of a body: all of them are cut off, and the others do not notice."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from time import monotonic

from chaos import checker
from chaos.clients import Clients, Upload, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.drip import KINDS, OPENED_EVERY
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import ROOT, Setup, Stack, running

LONGEST = 40.0
GOOD_EVERY = 0.05


class Dripping:
    """The clients that drip, in their own process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        self._process, self._said = process, process.stdout

    @classmethod
    async def begin(cls, stack: Stack, number: int) -> Dripping:
        """They open their connections."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.drip", str(stack.port), str(number)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(stack.headers["Authorization"].encode() + b"\n")
        return cls(process)

    async def until_open(self) -> None:
        """Returns when all of them are connected."""
        await self._said.readline()

    async def closed(self) -> list[list[float | None]]:
        """After how many seconds the service had closed them, by kind."""
        found: list[list[float | None]] = json.loads(await self._said.read())
        await self._process.wait()
        return found


async def good_uploads(clients: Clients, uploads: Sequence[Upload]) -> list[float]:
    """Hands in one after the other at an even pace; the seconds that each took to be acknowledged."""

    async def one(index: int, upload: Upload) -> float:
        await asyncio.sleep(index * GOOD_EVERY)
        began = monotonic()
        await clients.hand_in(upload)
        return monotonic() - began

    return sorted(await asyncio.gather(*(one(index, upload) for index, upload in enumerate(uploads))))


def p99(times: Sequence[float]) -> float:
    """Of sorted times."""
    return times[min(len(times) - 1, int(len(times) * 0.99))]


async def run(setup: Setup) -> Outcome:
    """The row: quiet, then the same uploads beside the drippers, then quiet again; the product's own deadlines."""
    number, chance = setup.much(201, 999), setup.chance()
    settings = {"UPLOAD_MAX_CONCURRENT": str(max(200, number))}
    async with running(setup, far={"manners": {"prompt": 1}}, settings=settings) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))

        def some(name: str, count: int) -> list[Upload]:
            return [upload(chance, f"drip-{setup.seed}-{name}-{index}", 4096) for index in range(count)]

        quiet = await good_uploads(clients, some("before", 300))
        dripping = await Dripping.begin(stack, number)
        during = int(number * OPENED_EVERY / GOOD_EVERY)
        opening, _ = await asyncio.gather(good_uploads(clients, some("opening", during)), dripping.until_open())
        loud = await good_uploads(clients, some("beside", 600))
        closed = await dripping.closed()
        quiet = sorted(quiet + await good_uploads(clients, some("after", 300)))
        await until_ended(stack, 60)
        await clients.close()
        evidence = await stop_and_collect(stack)
    figures, problems = [], in_words(checker.check(evidence))
    for kind, times in zip(KINDS, closed, strict=True):
        done = [time for time in times if time is not None]
        figures.append(f"{kind}: {len(done)} of {len(times)} closed, the last after {max(done, default=0):.1f} s")
        if len(done) < len(times) or max(done) > LONGEST:
            problems.append(f"{kind}: {len(times) - len(done)} never closed, the slowest {max(done, default=0):.1f} s")
    figures.append(f"good uploads, while the connections were opened: at worst {max(opening) * 1000:.0f} ms")
    figures.append(f"good uploads' p99: quiet {p99(quiet) * 1000:.0f} ms, beside them {p99(loud) * 1000:.0f} ms")
    if p99(loud) > 2 * p99(quiet):
        problems.append("good uploads were slowed down to more than twice")
    shut = [time for times in closed for time in times if time is not None]
    measured = f"{len(shut)} of {number} closed within {max(shut, default=0):.1f} s; {figures[-1]}"
    return Outcome(measured=measured, figures=figures, problems=problems)


ROW = RowProgram(
    name="drippers",
    promise="connections that drip are closed within 40 s; good uploads' p99 at most twice that in quiet",
    goal="200 closed within 40 s; good uploads' p99 at most 2 x quiet",
    goal_full="1,000 closed within 40 s; good uploads' p99 at most 2 x quiet",
    run=run,
    alone=True,
    takes=75,
)
