"""Random SIGKILLs and pauses of every process while clients hand in: nothing acknowledged is lost, stuck or done twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from chaos import checker
from chaos.clients import Clients, Upload, hand_in_all, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.evidence import Evidence
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

VICTIMS = {"api": 30, "worker-0": 22, "worker-1": 22, "valkey": 14, "postgres": 12}
PAUSED = 0.12  # this share of the blows is a pause instead of a kill
GAP = (0.25, 1.25)  # seconds between two blows
AFTERWARDS = 60.0  # seconds in which everything must have ended once the faults stop


@dataclass(slots=True)
class Blows:
    """What was done to whom."""

    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)


async def strike(stack: Stack, chance: random.Random, enough: int, blows: Blows) -> None:
    """Kills and pauses until there were `enough` kills."""
    names = [name for name in VICTIMS if name in stack.parts]
    pausing: set[asyncio.Task[None]] = set()
    while blows.kills.total() < enough:
        await asyncio.sleep(chance.uniform(*GAP))
        name = chance.choices(names, [VICTIMS[name] for name in names])[0]
        part = stack.parts[name]
        if chance.random() < PAUSED:
            task = asyncio.create_task(part.pause(chance.uniform(0.5, 4.5)))
            pausing.add(task)
            task.add_done_callback(pausing.discard)
            blows.pauses[name] += 1
        elif part.kill():
            blows.kills[name] += 1
    await asyncio.gather(*pausing)


async def run(setup: Setup) -> Outcome:
    """The row."""
    jobs, kills = setup.much(1000, 10_000), setup.much(200, 2000)
    blows, chance = Blows(), setup.chance("uploads")
    uploads = [upload(chance, f"{setup.row}-{setup.seed}-{number}") for number in range(jobs)]
    async with running(setup, workers=2, far={"pace": 0.1}) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        watching: set[asyncio.Task[None]] = set()
        striking = asyncio.create_task(strike(stack, setup.chance("blows"), kills, blows))
        gap = kills * sum(GAP) / 2 / jobs
        ids = await hand_in_and_watch(clients, uploads, gap, watching, setup)
        await striking
        setup.say(f"{blows.kills.total()} kills, {clients.tally.acked} acknowledged")
        afterwards = await until_ended(stack, AFTERWARDS)
        await asyncio.gather(*watching)
        await clients.close()
        evidence = await stop_and_collect(stack)
    problems = in_words(checker.check(evidence))
    problems += [f"refused: {words}" for words in clients.tally.refused or ()]
    if missing := ids.count(None):
        problems.append(f"{missing} uploads were never acknowledged")
    return Outcome(figures=figures(evidence, blows, clients, afterwards), problems=problems)


async def hand_in_and_watch(
    clients: Clients, uploads: list[Upload], gap: float, watching: set[asyncio.Task[None]], setup: Setup
) -> list[str | None]:
    """Hands in; one job in twenty has somebody who watches it."""
    chance, found = setup.chance("watchers"), list[str | None]()
    for start in range(0, len(uploads), 20):
        found += await hand_in_all(clients, uploads[start : start + 20], gap)
        if job_id := found[-1]:
            watching.add(asyncio.create_task(clients.watch(job_id, random.Random(chance.random()))))
    return found


def figures(evidence: Evidence, blows: Blows, clients: Clients, afterwards: float) -> list[str]:
    """What came of it."""
    taken = Counter(receipt.job_id for receipt in evidence.receipts if receipt.taken)
    extra, most = sum(taken.values()) - len(taken), max(taken.values(), default=0)
    lost = {row.job_id for row in evidence.rows} ^ {ack.job_id for ack in evidence.acks}
    tally = clients.tally
    return [
        (
            f"{len({ack.key for ack in evidence.acks})} uploads acknowledged, "
            f"{len({ack.job_id for ack in evidence.acks} - {row.job_id for row in evidence.rows})} lost; "
            f"{blows.kills.total()} kills ({_counted(blows.kills)}), {blows.pauses.total()} pauses"
        ),
        (
            f"{len(evidence.rows)} rows ({len(lost)} without an acknowledgement), "
            f"{Counter(row.status for row in evidence.rows)['success']} success; all ended {afterwards:.1f} s after the last"
        ),
        (
            f"{sum(taken.values())} copies taken, {extra} extra, at most {most} of one job; "
            f"{tally.tries} tries of clients, {tally.broken} broken, {tally.put_off} put off"
        ),
        (
            f"{len(evidence.callbacks)} callbacks sent, {sum(bool(one.applied) for one in evidence.callbacks)} applied; "
            f"{len(evidence.streams)} streams followed; {len(evidence.lines)} audit lines verified"
        ),
    ]


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


ROW = RowProgram(
    name="kills",
    promise="0 acknowledged uploads lost, 0 stuck, 0 done twice, under SIGKILL of everything",
    run=run,
    databases=("sqlite", "postgresql"),
)
