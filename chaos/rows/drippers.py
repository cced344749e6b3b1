"""Clients that send a byte a second, of a head or of a body: all of them are cut off, and the others do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic

from chaos import checker
from chaos.clients import Clients, Upload, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

LONGEST = 40.0
PATIENCE = 75.0
GOOD_EVERY = 0.05
OPENED_EVERY = 0.005  # or all of them would send their byte in the same moment of each second, this program most of all
KINDS = ("head", "body", "body without a key")


async def drip(stack: Stack, kind: str, wait: float) -> float | None:
    """Seconds until the server had closed the connection, which is opened after so long; None when it never did."""
    await asyncio.sleep(wait)
    began = monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    except OSError:
        return 0.0
    key = stack.headers["Authorization"] if kind == "body" else "Bearer none"
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n"
    )
    body = '\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    writer.write(head.encode() + (b"X-Slow: " if kind == "head" else body.encode()))
    closed = asyncio.create_task(_until_closed(reader))
    try:
        while not closed.done() and monotonic() - began < PATIENCE:
            writer.write(b"a")
            await writer.drain()
            await asyncio.wait([closed], timeout=1.0)
    except OSError:
        return monotonic() - began
    finally:
        writer.close()
        closed.cancel()
    return monotonic() - began if closed.done() else None


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass


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
        dripping = [asyncio.create_task(drip(stack, KINDS[index % 3], index * OPENED_EVERY)) for index in range(number)]
        loud = await good_uploads(clients, some("beside", 600))
        closed = await asyncio.gather(*dripping)
        quiet = sorted(quiet + await good_uploads(clients, some("after", 300)))
        await until_ended(stack, 60)
        await clients.close()
        evidence = await stop_and_collect(stack)
    figures, problems = [], in_words(checker.check(evidence))
    for index, kind in enumerate(KINDS):
        times = closed[index::3]
        done = [time for time in times if time is not None]
        figures.append(f"{kind}: {len(done)} of {len(times)} closed, the last after {max(done, default=0):.1f} s")
        if len(done) < len(times) or max(done) > LONGEST:
            problems.append(f"{kind}: {len(times) - len(done)} never closed, the slowest {max(done, default=0):.1f} s")
    figures.append(f"good uploads' p99: quiet {p99(quiet) * 1000:.0f} ms, beside them {p99(loud) * 1000:.0f} ms")
    if p99(loud) > 2 * p99(quiet):
        problems.append("good uploads were slowed down to more than twice")
    shut = [time for time in closed if time is not None]
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
