"""Uploads cut off at a random byte, or after all was sent, and tried again with their Idempotency-Key: one job each."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress

from chaos import checker
from chaos.clients import Clients, Upload, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

AT_ONCE = 12
MOST_CUTS = 5
SHARE = 1000  # uploads at a time, as in `clean`, and for the same reason


def request_of(stack: Stack, one: Upload) -> bytes:
    """The whole request as bytes."""
    line = b"chaos-boundary-5f1e"
    body = (
        b"--" + line + b'\r\nContent-Disposition: form-data; name="file"; filename="' + one.key.encode() + b'.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + one.content + b"\r\n--" + line + b"--\r\n"
    )
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\n"
        f"Authorization: {stack.headers['Authorization']}\r\nIdempotency-Key: {one.key}\r\n"
        f"Content-Type: multipart/form-data; boundary={line.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def cut_off(stack: Stack, one: Upload, chance: random.Random) -> str:
    """Sends some of it, or all and does not wait for the answer, and is gone; which of them it was."""
    request = request_of(stack, one)
    whole = chance.random() < 0.5
    end = len(request) if whole else chance.randrange(len(request))
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        writer.write(request[:end])
        await writer.drain()
        await asyncio.sleep(chance.uniform(0, 0.04))
        if chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()
    return "after all was sent" if whole else "in the middle"


async def run(setup: Setup) -> Outcome:
    """The row."""
    number, chance, cuts = setup.much(500, 10_000), setup.chance(), Counter[str]()
    uploads = [upload(chance, f"cut-{setup.seed}-{index}", 200_000) for index in range(number)]
    gate = asyncio.Semaphore(AT_ONCE)
    async with running(setup, far={"manners": {"prompt": 1}, "pace": 0.05}, settings={"ORPHAN_AGE": "6s"}) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))

        async def one(upload: Upload, own: random.Random) -> str | None:
            async with gate:
                for _ in range(own.randint(1, MOST_CUTS)):
                    cuts[await cut_off(stack, upload, own)] += 1
                return await clients.hand_in(upload)

        ids: list[str | None] = []
        for start in range(0, number, SHARE):
            some = uploads[start : start + SHARE]
            ids += await asyncio.gather(*(one(upload, random.Random(chance.random())) for upload in some))
            await until_ended(stack, 120)
        await clients.close()
        evidence = await stop_and_collect(stack)
    problems = in_words(checker.check(evidence))
    problems += [f"refused: {words}" for words in clients.tally.refused or ()]
    if not len(set(ids)) == len(evidence.rows) == number:
        problems.append(f"{number} uploads made {len(evidence.rows)} jobs")
    counted = ", ".join(f"{count} {name}" for name, count in cuts.items())
    return Outcome(
        figures=[f"{number} uploads, cut {counted}, are {len(evidence.rows)} jobs"],
        problems=problems,
    )


ROW = RowProgram(
    name="uploads",
    promise="uploads cut and tried again 1 to 5 times with their key: as many jobs as uploads",
    goal="500 uploads are 500 jobs",
    goal_full="10,000 uploads are 10,000 jobs",
    run=run,
    takes=35,
)
