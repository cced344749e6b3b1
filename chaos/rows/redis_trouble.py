"""The queue in every kind of trouble: uploads are taken, nothing is lost, and what waits for the sweep waits briefly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic

import redis.asyncio as redis

from chaos import checker
from chaos.clients import Clients, hand_in_all, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.evidence import Evidence
from chaos.journal import Journal, read
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

MOST_DELAY = 2.0
Trouble = Callable[[Stack, "redis.Redis", float], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def killed(stack: Stack, _: redis.Redis, seconds: float) -> AsyncIterator[None]:
    """Killed every second; it comes back each time."""

    async def killing() -> None:
        for _ in range(max(1, int(seconds))):
            stack.parts["valkey"].kill()
            await asyncio.sleep(1.0)

    task = asyncio.create_task(killing())
    yield
    await task


@asynccontextmanager
async def emptied(_: Stack, server: redis.Redis, seconds: float) -> AsyncIterator[None]:
    """FLUSHALL, five times a second."""

    async def emptying() -> None:
        for _ in range(int(seconds * 5)):
            await server.flushall()
            await asyncio.sleep(0.2)

    task = asyncio.create_task(emptying())
    yield
    await task


@asynccontextmanager
async def out_of_memory(_: Stack, server: redis.Redis, seconds: float) -> AsyncIterator[None]:  # noqa: ARG001
    """Not one more byte is taken."""
    await server.config_set("maxmemory", 1)
    yield
    await server.config_set("maxmemory", 0)


@asynccontextmanager
async def read_only(_: Stack, server: redis.Redis, seconds: float) -> AsyncIterator[None]:  # noqa: ARG001
    """The replica of a server that is not there: it refuses every write."""
    await server.execute_command(  # type: ignore[no-untyped-call]
        "REPLICAOF", "127.0.0.1", "1"
    )
    yield
    await server.execute_command(  # type: ignore[no-untyped-call]
        "REPLICAOF", "NO", "ONE"
    )


@asynccontextmanager
async def away(stack: Stack, _: redis.Redis, seconds: float) -> AsyncIterator[None]:  # noqa: ARG001
    """Killed, and not started again until the end."""
    stack.parts["valkey"].take_away()
    yield
    stack.parts["valkey"].bring_back()


@asynccontextmanager
async def hung(stack: Stack, _: redis.Redis, seconds: float) -> AsyncIterator[None]:  # noqa: ARG001
    """Stopped with SIGSTOP: connections stand, nothing is answered."""
    family = stack.parts["valkey"].family()
    for process in family:
        process.suspend()
    yield
    for process in family:
        process.resume()


TROUBLES: Mapping[str, Trouble] = {
    "killed": killed,
    "emptied": emptied,
    "out of memory": out_of_memory,
    "read-only": read_only,
    "hung": hung,
    "away": away,
}


async def run(setup: Setup) -> Outcome:
    """The row: some uploads in quiet, then the same number in each trouble."""
    each, seconds = setup.much(100, 400), setup.much(8, 60)
    far = {"manners": {"prompt": 1}, "pace": 0.05}
    async with running(setup, far=far, settings={"SWEEP_EVERY": "1s", "FEED_EVERY": "1s"}) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        assert stack.valkey is not None
        server: redis.Redis = redis.Redis.from_url(stack.valkey.url, retry_on_error=[redis.ConnectionError])
        spans: dict[str, set[str]] = {"quiet": await _hand_in(clients, setup, "quiet", each, seconds)}
        answers = {"quiet": clients.tally.slowest}
        for name, trouble in TROUBLES.items():
            long = setup.much(8, 600) if name == "away" else seconds
            clients.tally.slowest = 0
            began = monotonic()
            async with trouble(stack, server, long):
                spans[name] = await _hand_in(clients, setup, name, each, long)
                await until_ended(stack, 30)
            answers[name] = clients.tally.slowest
            setup.say(f"{name}: {len(spans[name])} uploads in {monotonic() - began:.0f} s")
            await asyncio.sleep(1.5)
        await until_ended(stack, 30)
        await clients.close()
        await server.aclose()
        evidence = await stop_and_collect(stack, tidy=False)
        sent = {record["job_id"]: record["began"] for record in read(stack.folder / "far.jsonl", "receipt")}
    return _judged(evidence, clients, spans, answers, sent)


async def _hand_in(clients: Clients, setup: Setup, name: str, number: int, seconds: float) -> set[str]:
    chance = setup.chance(name)
    uploads = [upload(chance, f"{name}-{setup.seed}-{index}", 4096) for index in range(number)]
    return {job_id for job_id in await hand_in_all(clients, uploads, seconds / number) if job_id}


def _judged(
    evidence: Evidence,
    clients: Clients,
    spans: Mapping[str, set[str]],
    answers: Mapping[str, float],
    sent: Mapping[str, float],
) -> Outcome:
    made = {row.job_id: int(row.job_id.replace("-", "")[:12], 16) / 1000 for row in evidence.rows}
    delays = {
        name: sorted(sent[job_id] - made[job_id] for job_id in ids if job_id in sent) for name, ids in spans.items()
    }
    quiet = delays["quiet"][-1]
    figures = [f"{len(evidence.acks)} uploads acknowledged, {clients.tally.broken + clients.tally.put_off} refused"]
    figures += [
        f"{name + ':':14} until delivered: p50 {late[len(late) // 2]:.2f} s, worst {late[-1]:.2f} s; "
        f"slowest 202: {answers[name]:.2f} s"
        for name, late in delays.items()
    ]
    problems = in_words(checker.check(evidence))
    problems += [
        f"{name}: delivered up to {late[-1] - quiet:.1f} s later than in quiet"
        for name, late in delays.items()
        if late[-1] - quiet > MOST_DELAY
    ]
    if clients.tally.broken or clients.tally.put_off or clients.tally.refused:
        problems.append(f"uploads refused: {clients.tally}")
    more = max(late[-1] - quiet for late in delays.values())
    lost = len({ack.job_id for ack in evidence.acks} - {row.job_id for row in evidence.rows})
    refused = clients.tally.broken + clients.tally.put_off
    measured = f"{len(evidence.acks)} uploads: {refused} refused, {lost} lost, at most {more:.1f} s more delay"
    return Outcome(measured=measured, figures=figures, problems=problems)


ROW = RowProgram(
    name="redis",
    promise="Valkey killed, emptied, full, read-only, hung, away: 0 refused, 0 lost, at most 2 s later",
    goal="0 refused, 0 lost, at most 2 s more delay",
    goal_full="0 refused, 0 lost, at most 2 s more delay, also for 10 minutes away",
    run=run,
    alone=True,
    takes=80,
)
