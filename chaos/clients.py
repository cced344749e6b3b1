"""Careful clients: they hand in under an Idempotency-Key until they are answered, and watch a job through every cut."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import aiohttp

from chaos.journal import Journal
from chaos.stack import Stack

TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
TROUBLES = (aiohttp.ClientError, OSError, TimeoutError)
MARK = b"CHAOSCONTENT"  # begins each file: content must be found in no log and no database


@dataclass(frozen=True, slots=True)
class Upload:
    """What is handed in: always the same for its key."""

    key: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def upload(chance: random.Random, key: str, largest: int = 32768) -> Upload:
    """An upload of some size: most are small."""
    size = int(largest ** chance.uniform(0.2, 1.0))
    return Upload(key, MARK + chance.randbytes(size))


def form_of(one: Upload) -> aiohttp.FormData:
    """The form of an upload."""
    form = aiohttp.FormData()
    form.add_field("file", one.content, filename=f"{one.key}.bin", content_type="application/octet-stream")
    return form


@dataclass(slots=True)
class Tally:
    """What clients met. `refused` holds answers that were neither 202 nor a wish to be asked again; `longest` is the
    time from an upload's first try to its acknowledgement, at worst."""

    acked: int = 0
    tries: int = 0
    broken: int = 0
    put_off: int = 0
    refused: list[str] | None = None
    slowest: float = 0.0
    longest: float = 0.0


class Clients:
    """Hands in and watches, and notes what was acknowledged."""

    def __init__(self, stack: Stack, journal: Journal, patience: float = 120.0) -> None:
        self.stack, self._journal, self._patience = stack, journal, patience
        self.tally = Tally(refused=[])
        self.session = aiohttp.ClientSession(
            headers=stack.headers, timeout=aiohttp.ClientTimeout(total=10), connector=aiohttp.TCPConnector(limit=64)
        )

    async def close(self) -> None:
        await self.session.close()
        self._journal.close()

    async def hand_in(self, one: Upload) -> str | None:
        """The job's id, once acknowledged; None when it was refused or patience ran out."""
        first, tally = monotonic(), self.tally
        until = first + self._patience
        while monotonic() < until:
            tally.tries += 1
            began = monotonic()
            try:
                job_id = await self._once(one)
            except TROUBLES:
                tally.broken += 1
            else:
                tally.slowest = max(tally.slowest, monotonic() - began)
                if job_id != "again":
                    tally.longest = max(tally.longest, monotonic() - first)
                    return job_id
                tally.put_off += 1
            await asyncio.sleep(random.uniform(0.1, 0.6))
        return None

    async def _once(self, one: Upload) -> str | None:
        url = f"{self.stack.url}/api/v1/jobs"
        async with self.session.post(url, data=form_of(one), headers={"Idempotency-Key": one.key}) as answer:
            if answer.status != 202:
                text = (await answer.read())[:200].decode("utf-8", "replace")
                if answer.status in TRY_AGAIN:
                    return "again"
                assert self.tally.refused is not None
                self.tally.refused.append(f"{answer.status} {text}")
                return None
            job = await answer.json()
        self._journal.note(
            "ack", key=one.key, job_id=job["job_id"], sha256=job["file"]["sha256"], size=job["file"]["size"]
        )
        if job["file"]["sha256"] != one.sha256:
            self._journal.note("ack", key=one.key, job_id=job["job_id"], sha256=one.sha256, size=len(one.content))
        self.tally.acked += 1
        return str(job["job_id"])

    async def watch(self, job_id: str, chance: random.Random, patience: float = 120.0) -> None:
        """Follows a job's events to the end, cut off now and then, and notes every version that came."""
        seen: list[int] = []
        until, finished = monotonic() + patience, False
        while not finished and monotonic() < until:
            try:
                async with asyncio.timeout(chance.uniform(0.1, 3.0)):
                    finished = await self._follow(job_id, seen)
            except TROUBLES:
                await asyncio.sleep(0.1)
        self._journal.note("stream", job_id=job_id, versions=seen, finished=finished)

    async def _follow(self, job_id: str, seen: list[int]) -> bool:
        headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
        url = f"{self.stack.url}/api/v1/jobs/{job_id}/events"
        async with self.session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            if answer.status != 200:
                await asyncio.sleep(0.1)
                return False
            ended = False
            async for line in answer.content:
                if line.startswith(b"id:"):
                    seen.append(int(line[3:]))
                elif line.startswith(b"data:"):
                    ended = any(f'"after":"{word}"'.encode() in line.replace(b" ", b"") for word in ENDS)
            return ended


ENDS = ("success", "failure", "cancelled")


async def hand_in_all(clients: Clients, uploads: Sequence[Upload], every: float, at_once: int = 32) -> list[str | None]:
    """Hands in one every so many seconds, at most `at_once` at a time; the ids in order."""
    gate = asyncio.Semaphore(at_once)

    async def one(index: int, upload: Upload) -> str | None:
        await asyncio.sleep(index * every)
        async with gate:
            return await clients.hand_in(upload)

    return list(await asyncio.gather(*(one(index, upload) for index, upload in enumerate(uploads))))
