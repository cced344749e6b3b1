"""Rows in processes of their own: those that mostly wait beside each other, those that measure times alone."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from app.launch.child import end_with_parent
from chaos.report import Outcome, Result, RowProgram
from chaos.stack import ROOT


@dataclass(frozen=True, slots=True)
class Turn:
    """One row on one database, and the words that ask for it."""

    row: RowProgram
    database: str
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As the table has it."""
        return self.row.name if len(self.row.databases) == 1 else f"{self.row.name} ({self.database})"


async def run_all(turns: Sequence[Turn], lanes: int, folder: Path, ended: Callable[[Result], None]) -> list[Result]:
    """The results, in the order of the turns; `ended` is told each at once. Long ones begin first, so that none is left
    over alone at the end."""
    results: dict[str, Result] = {}
    gate = asyncio.Semaphore(lanes)

    async def one(turn: Turn) -> None:
        async with gate:
            results[turn.name] = await run_one(turn, folder)
        ended(results[turn.name])

    together = sorted((turn for turn in turns if not turn.row.alone), key=lambda turn: -turn.row.takes)
    async with asyncio.TaskGroup() as running:
        for turn in together:
            running.create_task(one(turn))
    for turn in turns:
        if turn.row.alone:
            await one(turn)
    return [results[turn.name] for turn in turns]


async def run_one(turn: Turn, folder: Path) -> Result:
    """One turn in a process of its own. A process that dies without a result is a broken promise."""
    into, began = folder / f"{turn.row.name}-{turn.database}.json", monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", "--row", turn.row.name, "--database", turn.database),
        *(*turn.options, "--into", str(into)),
        cwd=ROOT,
        preexec_fn=end_with_parent,
    )
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:  # this run is being ended: so is the row, and it ends what it has started
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 60)
    if into.exists():
        return Result.of(json.loads(into.read_text()))
    died = Outcome(problems=[f"the row's own process ended with status {status} and no result"])
    goal = turn.row.wanted(full="--full" in turn.options)
    return Result(name=turn.name, promise=turn.row.promise, goal=goal, outcome=died, seconds=monotonic() - began)
