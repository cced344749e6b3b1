"""Several processes on one SQLite file, and a far side that is slower than what comes in."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace

from bench.callslip import Callslip
from bench.load import Plan
from bench.process import free_port
from bench.report import Report, at_least, at_most, holds, middle
from bench.stage import Sample, Stage, form

ONE, TWO = "callslip, one API and one worker", "callslip, two APIs and two workers"
BACKLOG = 10_000
EVERY = 0.1
WATCHED = 12.0


def two(stage: Stage) -> Report:
    """Two API processes and two workers on one SQLite file."""
    samples = stage.take_turns({ONE: _several(stage, "one", 1, 1), TWO: _several(stage, "two", 2, 2)})
    report = Report(
        title="Two API processes and two workers on one SQLite file",
        notes=[
            (
                "16 connections hand in 100 KB files while the workers deliver; everything, the load too, shares both cores, so what "
                "the workers deliver meanwhile counts as well. A client that is answered anything but 202 ends the contender."
            )
        ],
    )
    report.table_of(samples, "processes", "uploads + deliveries")
    report.goals = [
        holds("no lock error reached a client", "none" if TWO in samples else "see above", reached=TWO in samples)
    ]
    if len(samples) == 2:
        rate = {name: middle(found, lambda one: one.rate) for name, found in samples.items()}
        report.goals.append(at_least("uploads + deliveries/s, of one process's", rate[TWO] / rate[ONE], 1))
    return report


def _several(stage: Stage, name: str, number: int, count: int) -> Callable[[], Sample]:
    service = Callslip(stage, name, number)
    ports = [service.port, *(free_port() for _ in range(count - 1))]
    servers = [service.start_api(core=None, port=port) for port in ports]
    workers = [service.start_worker(core=None) for _ in range(count)]
    plan = service.uploads(ports=ports, connections=16, seconds=2.4, warm=0.3)
    for worker in workers:
        worker.pause()

    def turn() -> Sample:
        for worker in workers:
            worker.go_on()
        before, began = _delivered(service), time.monotonic()
        sample = stage.measure(plan, *servers, *workers)
        delivered = (_delivered(service) - before) / (time.monotonic() - began)
        for worker in workers:
            worker.pause()
        return replace(sample, rate=sample.rate + delivered, more={"uploads": sample.rate, "deliveries": delivered})

    return turn


def _delivered(service: Callslip) -> int:
    return service.counts().get("waiting", 0)


def backlog(stage: Stage) -> Report:
    """A far side that takes ten a second, and 10,000 jobs before it."""
    service = Callslip(stage)
    api, worker = service.start_api(), service.start_worker()
    worker.pause()
    small = stage.file("small", form(stage.png[:1024]))
    filled = stage.load(service.uploads(form=small, connections=32, count=BACKLOG))
    stage.say(f"{filled.done:,} jobs handed in, {filled.rate:,.0f}/s")
    stage.far(f"begin?every={EVERY}")
    worker.go_on()
    time.sleep(2)
    begun, commands, swept = time.monotonic(), _commands(service), worker.cpu()
    paths = stage.file("paths", "\n".join(f"/api/v1/jobs/{one}" for one in _newest(service)).encode())
    plan = Plan(
        ports=[service.port], paths=str(paths), headers=service.headers, connections=4, pause=0.02, seconds=WATCHED
    )
    sample = stage.measure(plan, api)
    seconds = time.monotonic() - begun
    rung, spent, seen = _commands(service) - commands, worker.cpu() - swept, stage.far("figures")
    return Report(
        title="A far side that takes ten a second, and a backlog of 10,000",
        notes=["A client asks for the status of jobs 150 times a second meanwhile. `IN_FLIGHT` is 8, the default."],
        columns=["figure", "measured"],
        lines=[
            ["status p50 / p99 / longest ms", f"{sample.p50:.1f} / {sample.p99:.1f} / {sample.more['longest']:.1f}"],
            ["deliveries a second", f"{seen['answered'] / (seen['last'] - seen['first']):.1f}"],
            ["Redis commands a second", f"{rung / seconds:.0f}"],
            ["worker CPU ms a second", f"{spent / seconds * 1000:.0f}"],
        ],
        goals=[
            at_most("status p99", sample.p99, 50, "ms"),
            at_most("worker CPU a second, deliveries included", spent / seconds * 1000, 100, "ms"),
            at_most("Redis commands a second", rung / seconds, 300, "commands"),
            holds("nothing delivered twice", f"{seen['repeats']:.0f} repeats", reached=not seen["repeats"]),
        ],
    )


def _commands(service: Callslip) -> int:
    return int(service.queue.info("stats")["total_commands_processed"])  # type: ignore[index]  # redis-py's union


def _newest(service: Callslip) -> list[str]:
    request = urllib.request.Request(f"http://127.0.0.1:{service.port}/api/v1/jobs?limit=200", headers=service.headers)
    with urllib.request.urlopen(request) as answer:
        return [job["job_id"] for job in json.load(answer)["jobs"]]
