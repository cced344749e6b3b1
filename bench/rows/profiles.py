"""Reports that are made once and read often: five hundred ask for one at once, then a hundred read it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from bench.callslip import Callslip
from bench.load import Plan
from bench.report import Report, at_most
from bench.stage import Sample, Stage
from tests.far_side import far_side
from tests.github import TOKEN, GitHub, item

ASKERS, READERS = 500, 100
SECONDS, WARM = 3.0, 0.5
REPORT = "/api/v1/profiles/ada?period=1y"
PAUSE = 0.25  # between two readings of one reader, where they are people and not a flood
AGE = 25 * 3600 * 1_000_000


def profiles(stage: Stage) -> Report:
    """Cached reports."""
    with _github() as url:
        service = Callslip(stage, "profiles", GITHUB_API_URL=url, GITHUB_TOKEN=TOKEN)
        api = service.start_api()
        service.start_worker()
        began = time.monotonic()
        asked = stage.load(
            Plan(
                ports=[service.port],
                path=REPORT,
                headers=service.headers,
                connections=ASKERS,
                count=ASKERS,
                expect=202,
            )
        )
        service.until_counts("success", 1)
        took, jobs = time.monotonic() - began, sum(service.counts().values())

    def read(headers: dict[str, str], pause: float = 0.0) -> Sample:
        plan = Plan(
            ports=[service.port],
            path=REPORT,
            headers=headers,
            connections=READERS,
            seconds=SECONDS,
            warm=WARM,
            pause=pause,
        )
        return stage.measure(plan, api)

    turns = {
        "fresh, with a key": lambda: read(service.headers, PAUSE),
        "fresh, as fast as it goes": lambda: read(service.headers),
    }
    samples = stage.take_turns(turns)
    _make_stale(service)
    samples |= stage.take_turns({"stale, without a key": lambda: read({}, PAUSE)})
    report = Report(
        title="Cached reports",
        notes=[
            (
                f"{ASKERS} connections ask at once for a report that is not there: {asked.done + sum(asked.wrong.values())}"
                f" answers, {jobs} job, made {took:.1f} s after the first asked. Then {READERS} readers on connections of"
                f" their own, each resting {PAUSE:g} s between two readings, and once without rest; the report has"
                f" {_size(service):,} bytes."
            )
        ],
    )
    report.table_of(samples, "readers", "reports")
    report.goals = [
        at_most(f"jobs for {ASKERS} that ask at once", jobs, 1),
        *(at_most(f"p99, {name}", _p99(samples[name]), 20, "ms") for name in samples if "as fast" not in name),
    ]
    return report


def _p99(samples: list[Sample]) -> float:
    return sorted(sample.p99 for sample in samples)[len(samples) // 2]


def _size(service: Callslip) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}{REPORT}") as answer:
        body = answer.read()
    if json.loads(body)["status"] != "stale":
        raise RuntimeError("the report was to be stale")
    return len(body)


def _make_stale(service: Callslip) -> None:
    with sqlite3.connect(service.data / "callslip.db") as connection:
        connection.execute("UPDATE job_log SET completed_at = completed_at - ? WHERE status = 'success'", [AGE])


@contextmanager
def _github() -> Iterator[str]:
    """A GitHub with a busy user, in a thread of its own."""
    at, places = datetime.now(UTC), list[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]()
    github = GitHub()
    for who, kind, count in (("author", "pr", 600), ("reviewed-by", "pr", 900), ("author", "issue", 200)):
        github.did[who, "ada", kind] = [
            item(f"owner-{n % 60}/repository-{n % 60}", n, at - timedelta(days=n % 360), kind=kind)
            for n in range(count)
        ]

    async def serve() -> None:
        async with far_side() as far:
            far.will(github)
            over = asyncio.Event()
            places.append((far.url, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    while not places:
        time.sleep(0.01)
    url, loop, over = places[0]
    yield url
    loop.call_soon_threadsafe(over.set)
    thread.join()
