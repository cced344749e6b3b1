"""Looking at jobs and for jobs, with up to a million of them in the database (rows 9 to 11, and the page of operations)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from uuid import UUID

import httpx

from app.infrastructure.job_agenda_sql import SqlJobAgenda
from app.infrastructure.sql_database import SqlDatabase
from bench.callslip import KEY, Callslip
from bench.fill import cursor, fill, some
from bench.load import Plan
from bench.peer import limit
from bench.report import Report, Samples, at_least, at_most, middle
from bench.stage import Sample, Stage

MANY, SOME, FEW = 1_000_000, 100_000, 10_000
DUE = 10_000
SECONDS, WARM = 1.6, 0.2
ROUTE = "FastAPI route without database"
WORKFLOWS = ("n8n_notion",)
LOOKS, BETWEEN = 100, 0.1  # as twenty open pages look, which each do so every two seconds


def _service(stage: Stage, number: int, count: int) -> tuple[Callslip, list[UUID]]:
    service = Callslip(stage, f"callslip-{count}", number)
    began = time.monotonic()
    ids = fill(service.data / "callslip.db", count, stage.shared)
    stage.say(f"{count:,} jobs made in {time.monotonic() - began:.0f} s")
    return service, ids


def _turn(stage: Stage, service: Callslip, name: str, paths: list[str]) -> Callable[[], Sample]:
    api = service.apis[0] if service.apis else service.start_api()
    place = stage.file(f"paths-{name}", "\n".join(paths).encode())
    plan = Plan(ports=[service.port], paths=str(place), headers=service.headers, seconds=SECONDS, warm=WARM)
    return lambda: stage.measure(plan, api)


def status(stage: Stage) -> Report:
    """Row 9."""
    server, port = limit(stage, "route")
    turns: dict[str, Callable[[], Sample]] = {
        ROUTE: lambda: stage.measure(Plan(ports=[port], path="/jobs/one", seconds=SECONDS, warm=WARM), server)
    }
    for number, count in ((1, MANY), (2, FEW)):
        service, ids = _service(stage, number, count)
        turns[f"callslip, {count:,} jobs"] = _turn(
            stage, service, str(count), [f"/api/v1/jobs/{job_id}" for job_id in some(ids)]
        )
    report = Report(
        title="Status by id (row 9)",
        notes=[
            (
                "16 connections, random ids. Callslip authenticates, reads the row, makes `ETag` and the signed links, measures "
                "and logs the request; the other is a bare FastAPI route with the id in its path."
            )
        ],
    )
    samples = stage.take_turns(turns)
    report.table_of(samples, "contender", "answers")
    many, few = f"callslip, {MANY:,} jobs", f"callslip, {FEW:,} jobs"
    report.goals = [
        at_least("answers/s, of a route without database", _rate(samples, many) / _rate(samples, ROUTE), 0.6),
        at_most("p99 with 1,000,000 jobs, of that with 10,000", _p99(samples, many) / _p99(samples, few), 1.3),
    ]
    return report


def page(stage: Stage) -> Report:
    """Row 10."""
    turns: dict[str, Callable[[], Sample]] = {}
    for number, count in ((1, MANY), (2, SOME)):
        service, ids = _service(stage, number, count)
        turns[f"callslip, {count:,} jobs, newest page"] = _turn(
            stage, service, f"{count}-newest", ["/api/v1/jobs?limit=50"]
        )
        deep = [f"/api/v1/jobs?limit=50&cursor={cursor(job_id)}" for job_id in some(ids[50:])]
        turns[f"callslip, {count:,} jobs, any depth"] = _turn(stage, service, f"{count}-deep", deep)
    report = Report(
        title="A page of 50 jobs (row 10)", notes=["16 connections; pages at random depths by their cursors."]
    )
    samples = stage.take_turns(turns)
    report.table_of(samples, "contender", "pages")
    newest, deep_name = f"callslip, {MANY:,} jobs, newest page", f"callslip, {MANY:,} jobs, any depth"
    report.goals = [
        at_least(
            "pages/s at any depth, of those with 100,000 jobs",
            _rate(samples, deep_name) / _rate(samples, f"callslip, {SOME:,} jobs, any depth"),
            0.9,
        ),
        at_least("pages/s at any depth, of the newest page's", _rate(samples, deep_name) / _rate(samples, newest), 0.9),
    ]
    return report


def operations(stage: Stage) -> Report:
    """`/ops` while many have it open."""
    service, _ = _service(stage, 1, MANY)
    api, took = service.start_api(), list[float]()
    with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as client:
        logged_in = client.post("/login", data={"key": KEY}, headers={"Sec-Fetch-Site": "same-origin"})
        if logged_in.status_code != 303:
            raise RuntimeError(f"the key was not taken: {logged_in.status_code}")
        first = _looked(client, "/ops")
        spent = api.cpu()
        for _ in range(LOOKS):
            took.append(_looked(client, "/ops/fragment"))
            time.sleep(BETWEEN)
        spent = (api.cpu() - spent) * 1000 / LOOKS
    took.sort()
    p99 = took[int(LOOKS * 0.99)]
    return Report(
        title="Operations with 1,000,000 jobs",
        notes=[
            (
                f"{LOOKS} looks at `/ops`, one every {BETWEEN} s, as twenty open pages make them. All of them share one counting "
                "of the jobs, which is made anew every four seconds."
            )
        ],
        columns=["first look, ms", "median, ms", "p99, ms", "CPU, ms a look"],
        lines=[[f"{first:.0f}", f"{took[LOOKS // 2]:.0f}", f"{p99:.0f}", f"{spent:.1f}"]],
        goals=[at_most("a look at operations, p99", p99, 200, "ms")],
    )


def _looked(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return (time.perf_counter() - began) * 1000


def sweep(stage: Stage) -> Report:
    """Row 11."""
    path = stage.folder / "sweep.db"
    fill(path, MANY, stage.shared, DUE)
    found, idle = asyncio.run(_swept(f"sqlite:///{path}", stage.rounds))
    return Report(
        title="The sweep with 1,000,000 jobs (row 11)",
        notes=[
            (
                f"In-process, by the product's own agenda: {DUE:,} of 1,000,000 jobs are due, and a hundred thousand more wait. "
                "The idle sweep is the two questions that a worker asks once a second when nothing is due."
            )
        ],
        columns=["question", "median"],
        lines=[[f"the {DUE:,} that are due", f"{found:.0f} ms"], ["nothing due, CPU", f"{idle:.3f} ms"]],
        goals=[
            at_most(f"finding {DUE:,} due of 1,000,000", found, 100, "ms"),
            at_most("CPU of an idle sweep, one a second", idle, 1, "ms"),
        ],
    )


async def _swept(url: str, rounds: int) -> tuple[float, float]:
    database = SqlDatabase(url)
    agenda, now = SqlJobAgenda(database), datetime.now(UTC)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        due = await agenda.due(now, DUE * 2, WORKFLOWS)
        times.append((time.perf_counter() - began) * 1000)
        if len(due) != DUE:
            raise RuntimeError(f"{len(due)} were found, not {DUE}")
    long_ago, spent, repeats = datetime(2020, 1, 1, tzinfo=UTC), time.process_time(), 200
    for _ in range(repeats):
        await agenda.due(long_ago, 200, WORKFLOWS)
        await agenda.startable(now, 100, dict.fromkeys(WORKFLOWS, 100), new_before=now)
    idle = (time.process_time() - spent) * 1000 / repeats
    await database.close()
    return median(times), idle


def _rate(samples: Samples, name: str) -> float:
    return middle(samples[name], lambda one: one.rate)


def _p99(samples: Samples, name: str) -> float:
    return middle(samples[name], lambda one: one.p99)
