"""Random SIGKILLs and pauses of every process while clients hand in: nothing acknowledged is lost, stuck or done twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import aiohttp

from chaos import checker
from chaos.clients import Clients, Upload, hand_in_all, upload
from chaos.collect import stop_and_collect, uneasy, until_ended
from chaos.evidence import Evidence
from chaos.journal import Journal
from chaos.parts import Part
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

VICTIMS = {"api": 30, "worker-0": 16, "worker-1": 16, "worker-2": 16, "valkey": 9, "postgres": 9}
PAUSED = 0.12  # this share of the blows is a pause instead of a kill
GAP = (0.15, 0.6)  # seconds between two blows
COLD = 0.05  # this share of the starts is from nothing, the others from the nursery
STARTING = 0.06  # this share of the blows at a process that is still starting is dealt all the same
QUICK = {"valkey": 1.0, "postgres": 2.0}  # seconds that these take to be of use again, recovery and all
MOST = 2.0  # times its share of the kills that somebody gets: what starts quickly must not stand in for what does not
SPARED = 0.7  # seconds of peace after a start
SHARE = 20  # uploads at a time
SMALL = 20  # kills; for fewer, one worker is enough, and quicker to start
PATIENCE = 300.0  # of a client; what is not acknowledged is not lost, but on a slow machine it may take long to be
AFTERWARDS = 60.0  # seconds in which everything must have ended once the faults stop


@dataclass(slots=True)
class Blows:
    """What was done to whom."""

    kills: Counter[str] = field(default_factory=Counter)
    pauses: Counter[str] = field(default_factory=Counter)


class Striker:
    """Chooses whom to kill or to pause. Who is still starting is mostly spared: else nobody would ever be up."""

    def __init__(self, stack: Stack, chance: random.Random, blows: Blows) -> None:
        self._stack, self._chance, self.blows = stack, chance, blows
        self._names = [name for name in VICTIMS if name in stack.parts]
        self._start_takes = 2.0
        self._most: dict[str, float] = {}

    async def strike(self, enough: int) -> None:
        """Until there were `enough` kills."""
        whole = sum(VICTIMS[name] for name in self._names)
        self._most = {name: max(1.0, MOST * enough * VICTIMS[name] / whole) for name in self._names}
        pausing: set[asyncio.Task[None]] = set()
        watching = asyncio.create_task(self._time_starts())
        while self.blows.kills.total() < enough:
            await asyncio.sleep(self._chance.uniform(*GAP))
            part = self._victim()
            if part is None or (part.name.startswith("worker") and await uneasy(self._stack)):
                continue
            name = part.name
            if self._chance.random() < PAUSED:
                task = asyncio.create_task(part.pause(self._chance.uniform(0.5, 4.5)))
                pausing.add(task)
                task.add_done_callback(pausing.discard)
                self.blows.pauses[name] += 1
            elif part.kill():
                self.blows.kills[name] += 1
        watching.cancel()
        await asyncio.gather(*pausing)

    def _victim(self) -> Part | None:
        """Somebody by the weights; in place of who is still starting, once more somebody."""
        for name in self._chance.choices(self._names, [VICTIMS[name] for name in self._names], k=2):
            part = self._stack.parts[name]
            if self.blows.kills[name] + 1 > self._most[name]:
                continue
            if not self._starting(part) or self._chance.random() < STARTING:
                return part
        return None

    def _starting(self, part: Part) -> bool:
        return not part.alive or monotonic() - part.began < QUICK.get(part.name, self._start_takes)

    async def _time_starts(self) -> None:
        """Learns from the API how long a start takes on this machine now."""
        api, known = self._stack.parts["api"], 0.0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
            while True:
                began = api.began
                try:
                    async with session.get(f"{self._stack.url}/health/live") as answer:
                        if answer.status == 200 and began == api.began != known:
                            known, self._start_takes = began, monotonic() - began + SPARED
                except (aiohttp.ClientError, OSError, TimeoutError):
                    if began != known:
                        self._start_takes = max(self._start_takes, monotonic() - began + SPARED)
                await asyncio.sleep(0.1)


async def run(setup: Setup) -> Outcome:
    """The row."""
    jobs, kills = setup.much(1000, 10_000), setup.much(200, 2000)
    blows, chance = Blows(), setup.chance("uploads")
    uploads = [upload(chance, f"{setup.row}-{setup.seed}-{number}") for number in range(jobs)]
    cold = setup.chance("starts")
    workers = 3 if kills >= SMALL else 1
    async with running(setup, workers=workers, far={"pace": 0.1}, cold=lambda: cold.random() < COLD) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"), PATIENCE)
        watching: set[asyncio.Task[None]] = set()
        striking = asyncio.create_task(Striker(stack, setup.chance("blows"), blows).strike(kills))
        ids = await hand_in_and_watch(clients, uploads, watching, setup, lambda: blows.kills.total() / kills)
        await striking
        setup.say(f"{blows.kills.total()} kills, {clients.tally.acked} acknowledged")
        afterwards = await until_ended(stack, AFTERWARDS)
        await asyncio.gather(*watching)
        await clients.close()
        evidence = await stop_and_collect(stack)
    problems = in_words(checker.check(evidence))
    problems += [f"refused: {words}" for words in clients.tally.refused or ()]
    taken = Counter(receipt.job_id for receipt in evidence.receipts if receipt.taken)
    extra, crashes = taken.total() - len(taken), blows.kills.total() + blows.pauses.total()
    # One worker's death may cost each delivery in its hands a copy, which I6 bounds job by job; of a few deaths there is no mean.
    if kills >= SMALL and extra > crashes:
        problems.append(f"{extra} extra copies for {crashes} kills and pauses")
    if missing := ids.count(None):
        problems.append(f"{missing} uploads were never acknowledged")
    return Outcome(figures=figures(evidence, blows, clients, afterwards), problems=problems)


async def hand_in_and_watch(
    clients: Clients,
    uploads: list[Upload],
    watching: set[asyncio.Task[None]],
    setup: Setup,
    done: Callable[[], float],
) -> list[str | None]:
    """Hands in at the pace of the blows, so that both end together; one job in twenty has somebody who watches it."""
    chance, found = setup.chance("watchers"), list[str | None]()
    for start in range(0, len(uploads), SHARE):
        while done() < start / len(uploads):  # noqa: ASYNC110 - the count is nobody's event
            await asyncio.sleep(0.05)
        found += await hand_in_all(clients, uploads[start : start + SHARE], 0.02)
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
            f"{tally.tries} tries of clients, {tally.broken} broken, {tally.put_off} put off, "
            f"acknowledged after {tally.longest:.0f} s at the latest"
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
    goal="0 of 1,000 lost or stuck under at least 200 kills; at most 1 extra copy a crash",
    goal_full="0 of 10,000 lost or stuck under at least 2,000 kills; at most 1 extra copy a crash",
    run=run,
    takes=290,
    databases=("sqlite", "postgresql"),
)
