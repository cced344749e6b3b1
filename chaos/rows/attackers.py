"""Somebody can write anything to Redis: no code runs, nobody is called, no job changes, and uploads go on."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import redis.asyncio as redis
from redis.exceptions import RedisError

from chaos import checker
from chaos.clients import Clients, hand_in_all, upload
from chaos.collect import query, stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

FUNC = "app.worker.run_job"
QUEUE = "rq:queue:callslip"
CHANGED = "a row or a line changed"
TABLES = ("job_log", "audit_event", "audit_detail")


class Bomb:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.mark,)


@dataclass(slots=True)
class Target:
    """What an attack aims at: a job's id, a folder that must not come into being, an address nobody may call."""

    server: Any  # redis.asyncio.Redis: its types know no bytes
    stack: Stack
    job_id: str
    mark: str
    url: str
    others: list[str] = field(default_factory=list)

    async def ring(self, job_id: str | None = None, **fields: Any) -> None:
        """Puts a message into the queue that looks like one of ours, but for these fields."""
        rung = job_id or self.job_id
        true = {
            "data": packed(FUNC, None, [rung]),
            "status": "queued",
            "origin": "callslip",
            "created_at": "2026-11-23T00:00:00.000000Z",
            "timeout": -1,
        }
        await self.server.hset(f"rq:job:{rung}", mapping={**true, **fields})
        await self.server.rpush(QUEUE, rung)


def packed(func: str, instance: object, args: list[Any], kwargs: Mapping[str, Any] | None = None) -> bytes:
    """As RQ stores a call."""
    return zlib.compress(json.dumps([func, instance, args, kwargs or {}]).encode())


async def _commands(target: Target) -> None:
    for key in await target.server.keys("rq:worker:*"):
        name = key.decode().removeprefix("rq:worker:")
        for command in ({"command": "shutdown"}, {"command": "kill-horse"}, {"command": "stop-job", "job_id": "x"}):
            await target.server.publish(f"rq:pubsub:{name}", json.dumps(command))


async def _wrong_types(target: Target) -> None:
    for key in (QUEUE, f"{QUEUE}:intermediate", "rq:wip:callslip", "rq:finished:callslip", "rq:failed:callslip"):
        await target.server.delete(key)
        await target.server.set(key, "not a list")
    for key in await target.server.keys("rq:worker:*"):
        await target.server.delete(key)
        await target.server.set(key, "not a hash")
    await asyncio.sleep(1.5)
    await target.server.flushall()


async def _registries(target: Target) -> None:
    for name in ("scheduled", "deferred", "failed", "finished", "wip", "canceled"):
        await target.server.zadd(f"rq:{name}:callslip", {target.job_id: 1, f"{target.job_id}:x": 1, "../../etc": 1})
    await target.server.sadd("rq:workers", "rq:worker:nobody", "\x00")
    await target.server.sadd("rq:queues", "rq:queue:other")


async def _hints(target: Target) -> None:
    for text in (b"", b"\xff" * 70_000, b"x " + target.job_id.encode(), b" ".join([b"0" * 32] * 10_000)):
        await target.server.publish("callslip:feed", text)


async def _garbage(target: Target) -> None:
    await target.server.rpush(QUEUE, *(os.urandom(40) for _ in range(5000)))


async def _all_rung(target: Target) -> None:
    for job_id in target.others:
        await target.ring(job_id)


async def _refused(target: Target, *commands: tuple[str, ...]) -> None:
    for command in commands:
        with suppress(RedisError):
            await target.server.execute_command(*command)


Attack = Callable[[Target], Awaitable[None]]
ATTACKS: Mapping[str, Attack] = {
    "another function": lambda t: t.ring(data=packed("os.mkdir", None, [t.mark])),
    "a module that acts on import": lambda t: t.ring(data=packed("antigravity.fly_geohash", None, [t.job_id])),
    "a method of an instance": lambda t: t.ring(data=packed(FUNC, "os", [t.job_id])),
    "keywords": lambda t: t.ring(data=packed(FUNC, None, [t.job_id], {"force": True})),
    "a pickle as data": lambda t: t.ring(data=pickle.dumps(Bomb(t.mark))),
    "a packed pickle as data": lambda t: t.ring(data=zlib.compress(pickle.dumps(Bomb(t.mark)))),
    "a pickle as meta and result": lambda t: t.ring(meta=pickle.dumps(Bomb(t.mark)), result=pickle.dumps(Bomb(t.mark))),
    "a bomb of zeros": lambda t: t.ring(data=zlib.compress(bytes(50_000_000), 9)),
    "a hundred thousand brackets": lambda t: t.ring(data=zlib.compress(b"[" * 100_000)),
    "a success callback": lambda t: t.ring(success_callback_name="os.mkdir", success_callback_timeout=60),
    "a failure callback": lambda t: t.ring(failure_callback_name="os.mkdir", failure_callback_timeout=60),
    "a stopped callback": lambda t: t.ring(stopped_callback_name="os.mkdir"),
    "webhooks": lambda t: t.ring(webhooks=json.dumps([{"url": t.url, "event": "finished", "method": "POST"}])),
    "dependencies": lambda t: t.ring(dependency_ids=json.dumps([str(uuid4())])),
    "retries and repeats": lambda t: t.ring(retries_left=99, retry_intervals="[0]", repeats_left=99),
    "an address as the job's id": lambda t: t.ring(f"{t.url}{uuid4()}"),
    "a job that does not exist": lambda t: t.ring(str(uuid4())),
    "true doorbells for jobs that have ended, wait, or are not due": _all_rung,
    "five thousand pieces of garbage": _garbage,
    "lines in RQ's registries": _registries,
    "keys of the wrong type": _wrong_types,
    "commands to the workers": _commands,
    "false hints in the feed": _hints,
    "the server told to write elsewhere": lambda t: _refused(
        t, ("CONFIG", "SET", "dir", t.mark), ("CONFIG", "SET", "dbfilename", "x.py"), ("SAVE",), ("BGREWRITEAOF",)
    ),
    "the server told to load a module": lambda t: _refused(t, ("MODULE", "LOAD", "/tmp/none.so"), ("DEBUG", "RELOAD")),
    "every client thrown out": lambda t: _refused(t, ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")),
    "the server paused": lambda t: _refused(t, ("CLIENT", "PAUSE", "1500")),
    "the server shut down": lambda t: _refused(t, ("SHUTDOWN", "NOSAVE")),
}


async def run(setup: Setup) -> Outcome:
    """The row: jobs in every state that lasts, every attack, and then honest work again."""
    calls = [0]

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls[0] += 1
        writer.close()

    trap = await asyncio.start_server(answer, "127.0.0.1", 0)
    mark, problems = setup.folder / "owned", list[str]()
    far = {"manners": {"prompt": 1, "silent": 1, "busy": 1}, "pace": 0.02}
    settings = {"RETRY_SCHEDULE": "1h,1h", "CALLBACK_TIMEOUT": "1h", "CALLBACK_DEADLINE": "2h"}
    async with running(setup, far=far, settings=settings) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        ids = await _protected(clients, setup, 24)
        assert stack.valkey is not None
        server: redis.Redis = redis.Redis.from_url(stack.valkey.url)
        target = Target(server, stack, ids[0], str(mark), _address(trap), ids)
        before = await _dump(stack)
        for number, (name, attack) in enumerate(ATTACKS.items()):
            target.job_id = ids[number % len(ids)]
            problems += await _attacked(name, attack, target, before)
        deaths = [f"{name} died {part.deaths} times" for name, part in stack.parts.items() if part.deaths]
        problems += [death for death in deaths if not death.startswith("valkey")]
        after = await _protected(clients, setup, 24, "after")
        await server.aclose()
        problems += await _end(stack, clients, set(after))
        evidence = await stop_and_collect(stack, honest=False, tidy=False)
    trap.close()
    changes = sum(problem.endswith(CHANGED) for problem in problems)
    if mark.exists():
        problems.append("code was run: the folder is there")
    if calls[0]:
        problems.append(f"{calls[0]} calls went out")
    states = {row["status"] for row in before["job_log"]}
    figure = (
        f"{len(ATTACKS)} kinds of attack on {len(ids)} jobs ({', '.join(sorted(states))}): code run "
        f"{int(mark.exists())}, calls out {calls[0]}, attacks that changed a row {changes}"
    )
    return Outcome(figures=[figure], problems=[*problems, *in_words(checker.check(evidence))])


def _address(trap: asyncio.Server) -> str:
    return f"http://127.0.0.1:{trap.sockets[0].getsockname()[1]}/"


async def _protected(clients: Clients, setup: Setup, number: int, name: str = "before") -> list[str]:
    """Jobs in all states that last: some ended, some waiting, some not due for an hour, some cancelled."""
    chance = setup.chance(name)
    uploads = [upload(chance, f"{name}-{setup.seed}-{index}", 2048) for index in range(number)]
    ids = [job_id for job_id in await hand_in_all(clients, uploads, 0.01) if job_id]
    for _ in range(60):
        rows = await asyncio.to_thread(query, clients.stack, "SELECT status, attempt FROM job_log")
        if not any(row["status"] == "processing" or not row["attempt"] for row in rows):
            break
        await asyncio.sleep(0.25)
    await asyncio.sleep(1.0)
    for job_id in ids[:3]:
        async with clients.session.post(f"{clients.stack.url}/api/v1/jobs/{job_id}/cancel") as answer:
            await answer.read()
    return ids


async def _dump(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    return {table: await asyncio.to_thread(query, stack, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}


async def _attacked(name: str, attack: Attack, target: Target, before: object) -> list[str]:
    """Attacks, lets the worker take what there is, and compares every row and line."""
    with suppress(RedisError):
        await attack(target)
    for _ in range(30):
        await asyncio.sleep(0.1)
        with suppress(RedisError):
            if not await target.server.llen(QUEUE):
                break
    await asyncio.sleep(0.3)
    problems = [] if await _dump(target.stack) == before else [f"{name}: {CHANGED}"]
    if os.path.exists(target.mark):  # noqa: ASYNC240, PTH110 - one look
        problems.append(f"{name}: code was run")
    return problems


async def _end(stack: Stack, clients: Clients, after: set[str]) -> list[str]:
    """Every job that was handed in after the attacks was tried; then all that is open is cancelled."""
    rows = await asyncio.to_thread(query, stack, "SELECT job_id, attempt FROM job_log")
    untried = [row for row in rows if str(row["job_id"]) in after and not row["attempt"]]
    for job in await asyncio.to_thread(query, stack, "SELECT job_id FROM job_log WHERE due_at IS NOT NULL"):
        async with clients.session.post(f"{stack.url}/api/v1/jobs/{job['job_id']}/cancel") as answer:
            await answer.read()
    await until_ended(stack, 10)
    await clients.close()
    return [f"{len(untried)} jobs after the attacks were not tried"] if untried else []


ROW = RowProgram(
    name="attackers",
    promise="full write access to Redis: 0 code run, 0 calls out, 0 state changes",
    goal="0 code run, 0 calls out, 0 state changes over at least 12 kinds of attack",
    run=run,
    takes=55,
)
