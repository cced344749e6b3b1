"""Random edits of the database behind the service's back: found, called by their name, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from time import monotonic

from app.admin.record import Report, examine
from app.infrastructure.signer_ed25519 import Ed25519Signer
from chaos import collect
from chaos.clients import Clients, hand_in_all, upload
from chaos.edits import EDITS, Victim
from chaos.journal import Journal
from chaos.parts import everyday_environment
from chaos.report import Outcome, RowProgram
from chaos.stack import Setup, Stack, running

JOBS, PROCESSES = 24, 2
WORTH_TWO = 200  # trials; a second process starts as long as a hundred of them take
SHARE_NAMED = 0.95


@dataclass(slots=True)
class Tally:
    """What became of some trials."""

    found: int = 0
    named: int = 0
    missed: list[str] = field(default_factory=list)
    misnamed: Counter[str] = field(default_factory=Counter)


async def run(setup: Setup) -> Outcome:
    """The row: a database made by the service itself; then one edit a copy, and a verification of each."""
    trials = setup.much(2000, 10_000)
    async with running(
        setup, far={"manners": {"prompt": 4, "early": 1, "down": 1}}, settings={"CHECKPOINT_EVERY": "1s"}
    ) as stack:
        alarms, looks = await _make(setup, stack)
        await stack.stop()
        place = Place(stack.data, await asyncio.to_thread(_settled, stack.data))
    began = monotonic()
    alarms += await _untouched(setup, place, max(20, trials // 20))
    processes = PROCESSES if trials >= WORTH_TWO else 1
    shares = [(setup.seed, number, trials // processes + (number < trials % processes)) for number in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        loop = asyncio.get_running_loop()
        tallies = await asyncio.gather(*(loop.run_in_executor(pool, try_out, place, *share) for share in shares))
    files = await _damaged_files(setup, place, max(20, trials // 20))
    return _outcome(
        trials,
        tallies,
        alarms,
        f"{looks} while jobs ran, {max(20, trials // 20)} of copies",
        files,
        monotonic() - began,
    )


def _outcome(
    trials: int, tallies: Sequence[Tally], alarms: list[str], looks: str, files: str, seconds: float
) -> Outcome:
    found, named = sum(tally.found for tally in tallies), sum(tally.named for tally in tallies)
    problems = [*alarms, *(words for tally in tallies for words in tally.missed)][:12]
    if named < SHARE_NAMED * trials:
        problems.append(f"only {named} of {trials} edits were called by their name")
    wrong = sum((tally.misnamed for tally in tallies), Counter[str]())
    figures = [
        f"{found} of {trials} edits found, {named / trials:.1%} called by their name, {len(alarms)} false alarms",
        f"verifications of what nobody had touched: {looks}; {seconds:.0f} s for all trials",
        f"called otherwise: {', '.join(f'{words} {count}' for words, count in wrong.most_common(5)) or 'none'}",
        files,
    ]
    if files.startswith("!"):
        problems.append(files)
    return Outcome(figures=figures, problems=problems)


@dataclass(frozen=True, slots=True)
class Place:
    """A service's data folder that nobody writes to any more, and its database in one file."""

    data: Path
    database: Path

    @property
    def checkpoints(self) -> Path:
        return self.data / "checkpoints.jsonl"

    async def examined(self, database: Path, checkpoints: Path | None = None) -> Report:
        """What the product's own verification says."""
        keys = Ed25519Signer(self.data / "signing.key").keys
        return await examine(f"sqlite:///{database}", None, [checkpoints or self.checkpoints], keys)


async def _make(setup: Setup, stack: Stack) -> tuple[list[str], int]:
    """Runs jobs, of which one is erased and some are cancelled, and verifies all the while."""
    chance = setup.chance()
    clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
    made = [upload(chance, f"edits-{setup.seed}-{index}", 2000) for index in range(JOBS)]
    work = asyncio.create_task(hand_in_all(clients, made, 0.1))
    alarms, looks, least = [], 0, max(2, setup.much(5, 5))
    while not work.done() or looks < least:
        status, words = await _command(
            stack, "audit", "verify", "--json", "--checkpoints", str(stack.data / "checkpoints.jsonl")
        )
        looks += 1
        if status:
            alarms.append(f"false alarm while jobs ran: {words[-600:]}")
    jobs = [job_id for job_id in await work if job_id]
    await collect.until_ended(stack, 60)
    await asyncio.gather(*(_command(stack, "erase", job_id) for job_id in jobs[:2]))
    await clients.close()
    return alarms, looks


async def _command(stack: Stack, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.admin", *arguments),
        cwd=stack.folder,
        env={**everyday_environment(), **stack.settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode("utf-8", "replace")


def _settled(data: Path) -> Path:
    """The database in one file, without a log beside it."""
    with (
        closing(sqlite3.connect(data / "callslip.db")) as source,
        closing(sqlite3.connect(data / "settled.db")) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    return data / "settled.db"


async def _untouched(setup: Setup, place: Place, times: int) -> list[str]:
    """Verifies copies that are the same in all that counts: also written anew as a whole."""
    alarms, copy = [], setup.folder / "untouched.db"
    for turn in range(times):
        shutil.copy(place.database, copy)
        if turn % 2:
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("VACUUM")
        report = await place.examined(copy)
        alarms += [f"false alarm: {finding}" for finding in report.findings]
        alarms += [f"false alarm: {problem}" for problem in report.problems()]
        copy.unlink()
    return alarms


def try_out(place: Place, seed: int, share: int, trials: int) -> Tally:
    """Some trials, in a process of their own."""
    tally, folder = Tally(), place.data / f"share-{share}"
    folder.mkdir()
    for number in range(trials):
        chance = random.Random(f"{seed} {share} {number}")
        edit = EDITS[(number * PROCESSES + share) % len(EDITS)]
        copy = folder / "copy.db"
        shutil.copy(place.database, copy)
        with closing(sqlite3.connect(copy)) as connection:
            wanted = edit(Victim(connection, chance))
            connection.commit()
        report = asyncio.run(place.examined(copy))
        kinds = [finding.kind for finding in report.findings]
        tally.found += bool(kinds)
        tally.named += wanted in kinds
        if not kinds:
            tally.missed.append(f"not found: {edit.__name__}, seed {seed} {share} {number}")
        elif wanted not in kinds:
            tally.misnamed[f"{edit.__name__} as {kinds[0]}"] += 1
        for path in folder.glob("copy.db*"):
            path.unlink()
    return tally


async def _damaged_files(setup: Setup, place: Place, times: int) -> str:
    """Lines of the file of checkpoints that were changed, taken out or exchanged; then its end cut off."""
    chance, lines, damaged = (
        setup.chance("files"),
        place.checkpoints.read_bytes().splitlines(),
        setup.folder / "damaged.jsonl",
    )
    found = 0
    for turn in range(times):
        some, at = list(lines), chance.randrange(len(lines) - 1)
        if turn % 3 == 0:
            said = json.loads(some[at])
            said["at"] = said["at"].replace("T", "t") if turn % 2 else said["at"][:-2] + "9Z"
            some[at] = json.dumps(said).encode()
        elif turn % 3 == 1:
            del some[at]
        else:
            some[at], some[at + 1] = some[at + 1], some[at]
        damaged.write_bytes(b"\n".join(some) + b"\n")
        found += any((await place.examined(place.database, damaged)).problems())
    damaged.write_bytes(b"\n".join(lines[:1]) + b"\n")
    report = await place.examined(place.database, damaged)
    newer = sum(witness.newer for witness in report.witnesses.values())
    words = f"{found} of {times} edits of the file of checkpoints found; with its end cut off, {newer} lines are told to be newer"
    return words if found == times and newer else f"! {words}"


ROW = RowProgram(
    name="edits",
    promise="random edits of the database are found by audit verify with checkpoints and called by their name",
    goal="2,000 edits: 100 % found, 95 % named rightly, 0 false alarms",
    goal_full="10,000 edits: 100 % found, 95 % named rightly, 0 false alarms",
    run=run,
    takes=90,
)
