"""A worker is killed in the middle of its deliveries, with the product's own periods: how soon they are tried again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from chaos import checker
from chaos.clients import Clients, hand_in_all, upload
from chaos.collect import query, stop_and_collect, until_ended
from chaos.journal import Journal, read
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

LONGEST = 15.0
DEFAULTS = {"LEASE": "10s", "LEASE_RENEWAL": "3s", "SWEEP_EVERY": "1s", "FEED_EVERY": "1s", "N8N_TIMEOUT": "120s"}
QUEUES = ("up", "empty", "gone")
IN_FLIGHT = 4


async def run(setup: Setup) -> Outcome:
    """The row."""
    waits: dict[str, list[float]] = {}
    figures, problems = [], []
    rounds = setup.much(2, 20)
    # The far side never answers within a lease, so that the kill falls into a delivery.
    far = {"manners": {"mute": 1}, "pace": 600}
    async with running(setup, far=far, settings=DEFAULTS) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        for queue in QUEUES:
            waits[queue] = []
            for number in range(rounds):
                waits[queue] += await _round(stack, clients, setup, queue, number)
            figures.append(f"Valkey {queue}: {len(waits[queue])} deliveries, tried again after {_spread(waits[queue])}")
        await clients.close()
        evidence = await stop_and_collect(stack, honest=False, tidy=False)
    worst = max((wait for each in waits.values() for wait in each), default=0.0)
    if worst > LONGEST:
        problems.append(f"a killed worker's job was tried again only after {worst:.1f} s")
    if missing := 3 * rounds * IN_FLIGHT - sum(map(len, waits.values())):
        problems.append(f"{missing} deliveries of a killed worker were not tried again in time")
    measured = f"{worst:.1f} s at worst, of {sum(map(len, waits.values()))} deliveries of killed workers"
    return Outcome(measured=measured, figures=figures, problems=[*problems, *in_words(checker.check(evidence))])


def _spread(waits: list[float]) -> str:
    return f"{min(waits):.1f} to {max(waits):.1f} s" if waits else "never"


async def _round(stack: Stack, clients: Clients, setup: Setup, queue: str, number: int) -> list[float]:
    """Some deliveries begin, the worker dies, the queue is as it is: seconds until each was sent again."""
    chance, far = setup.chance(f"{queue}{number}"), stack.folder / "far.jsonl"
    names = [upload(chance, f"{queue}-{number}-{index}", 4096) for index in range(IN_FLIGHT)]
    if queue != "gone":
        stack.parts["valkey"].bring_back()
    ids = {job_id for job_id in await hand_in_all(clients, names, 0.01) if job_id}
    await _until_sent(far, dict.fromkeys(ids, 1), 20)
    await asyncio.sleep(chance.uniform(0.5, 4.0))
    killed = time.time()
    stack.parts["worker-0"].kill()
    await _disturb(stack, queue)
    await _until_sent(far, dict.fromkeys(ids, 2), LONGEST + 15)
    again = [record for record in read(far, "receipt") if record["job_id"] in ids and record["attempt"] == 2]
    await _cancel_all(stack, clients)
    return [record["began"] - killed for record in again]


async def _disturb(stack: Stack, queue: str) -> None:
    valkey = stack.parts["valkey"]
    if queue == "gone":
        valkey.take_away()
    elif queue == "empty":  # killed together with all that it had written down
        valkey.take_away()
        for path in (stack.data / "valkey").glob("appendonlydir/*"):
            path.unlink(missing_ok=True)
        valkey.bring_back()


async def _until_sent(far: Path, wanted: Mapping[str, int], patience: float) -> None:
    """Waits until each of these jobs was sent so many times."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        sent = Counter(record["job_id"] for record in read(far, "receipt"))
        if all(sent[job_id] >= count for job_id, count in wanted.items()):
            return
        await asyncio.sleep(0.1)


async def _cancel_all(stack: Stack, clients: Clients) -> None:
    jobs = await asyncio.to_thread(query, stack, "SELECT job_id FROM job_log WHERE due_at IS NOT NULL")
    for job in jobs:
        async with clients.session.post(f"{stack.url}/api/v1/jobs/{job['job_id']}/cancel") as answer:
            await answer.read()
    await until_ended(stack, 20)


ROW = RowProgram(
    name="recovery",
    promise="a killed worker's job is attempted again within 15 s, with Valkey up, empty or gone",
    goal="at most 15 s, default leases",
    run=run,
    alone=True,
    takes=90,
)
