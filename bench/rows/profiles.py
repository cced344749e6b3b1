"""Reports that are made once and read often: five hundred ask for one at once and follow it, then a hundred read it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.callslip import Callslip
from bench.load import Plan
from bench.report import Report, at_least, at_most
from bench.stage import Sample, Stage
from bench.watchers import watch
from tests.far_side import Call, far_side
from tests.github import TOKEN, GitHub, item

ASKERS, READERS = 500, 100
SECONDS, WARM = 3.0, 0.5
PATIENCE = 60  # seconds for the report to be made
REPORT = "/api/v1/profiles/ada?period=1y"
PAUSE = 0.25  # between two readings of one reader, where they are people and not a flood
AGE = 25 * 3600 * 1_000_000


def profiles(stage: Stage) -> Report:
    """Cached reports."""
    with _github() as (url, let_go):
        service = Callslip(stage, "profiles", GITHUB_API_URL=url, GITHUB_TOKEN=TOKEN)
        api = service.start_api()
        service.start_worker()
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
        live = asyncio.run(_followed(service.port, _events(service), let_go))
        service.until_counts("success", 1)
        jobs = sum(service.counts().values())

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
                f" answers, {jobs} job. As many follow its events while GitHub holds its answers back; once it answers, the"
                f" report takes {live.made:.1f} s, and its end reaches all of them within {live.spread:.0f} ms. Then {READERS} readers on connections of"
                f" their own, each resting {PAUSE:g} s between two readings, and once without rest; the report has"
                f" {_size(service):,} bytes."
            )
        ],
    )
    report.table_of(samples, "readers", "reports")
    report.goals = [
        at_most(f"jobs for {ASKERS} that ask at once", jobs, 1),
        at_least("of them told live that it is there", live.told, ASKERS),
        *(at_most(f"p99, {name}", _p99(samples[name]), 20, "ms") for name in samples if "as fast" not in name),
    ]
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """How the end came to those who followed: to how many, how long after the beginning (s), over which time (ms)."""

    told: int
    made: float
    spread: float


def _events(service: Callslip) -> str:
    """Where everybody who asks can follow the making of the report."""
    request = urllib.request.Request(f"http://127.0.0.1:{service.port}{REPORT}", headers=service.headers)
    with urllib.request.urlopen(request) as answer:
        links = json.load(answer)["job"]["links"]
    return f"{links['events']}?{links['page'].rpartition('?')[2]}"


async def _followed(port: int, events: str, let_go: Callable[[], None]) -> Live:
    """All follow the job, which can only end once they do."""
    watchers = await watch(port, events, ASKERS)
    began = time.perf_counter()
    let_go()
    for _ in range(PATIENCE * 100):
        if all(watcher.closed for watcher in watchers):
            break
        await asyncio.sleep(0.01)
    last = max(version for watcher in watchers for version in watcher.heard)
    ends = [watcher.heard[last] for watcher in watchers if watcher.closed and last in watcher.heard]
    return Live(told=len(ends), made=min(ends) - began, spread=(max(ends) - min(ends)) * 1000)


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
def _github() -> Iterator[tuple[str, Callable[[], None]]]:
    """A GitHub with a busy user, in a thread of its own. It answers nobody until it is let go."""
    at, places = datetime.now(UTC), list[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]()
    gate = threading.Event()
    github = GitHub()
    for who, kind, count in (("author", "pr", 600), ("reviewed-by", "pr", 900), ("author", "issue", 200)):
        github.did[who, "ada", kind] = [
            item(f"owner-{n % 60}/repository-{n % 60}", n, at - timedelta(days=n % 360), kind=kind)
            for n in range(count)
        ]

    async def held(call: Call) -> None:
        await asyncio.to_thread(gate.wait)
        await github(call)

    async def serve() -> None:
        async with far_side() as far:
            far.will(held)
            over = asyncio.Event()
            places.append((far.url, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    while not places:
        time.sleep(0.01)
    url, loop, over = places[0]
    yield url, gate.set
    loop.call_soon_threadsafe(over.set)
    thread.join()
