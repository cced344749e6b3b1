"""The whole life of a job on both cores: handed in, delivered, called back, ended (row 8)."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable

from bench.callslip import Callslip
from bench.load import Plan
from bench.peer import WORKERS, Peer
from bench.process import Running
from bench.report import Report, at_least, at_most, middle
from bench.stage import Sample, Stage, settled

COUNTS = {"callslip": 600, "celery prefork 2": 300, "rq worker": 24}
IN_FLIGHT = 100
PATIENCE = 40.0


def life(stage: Stage) -> Report:
    """Row 8."""
    commits: list[float] = []
    turns: dict[str, Callable[[], Sample]] = {"callslip": _ours(stage, COUNTS["callslip"], commits)}
    for number, kind in enumerate(("celery prefork 2", "rq worker"), 2):
        turns[kind] = _peers(stage, Peer(stage, WORKERS[kind][0], number=number, label=kind), kind, COUNTS[kind])
    samples = stage.take_turns(turns)
    report = Report(
        title="The whole life of a job (row 8)",
        notes=[
            (
                "From the first byte of the first upload to the answer to the last callback; the far side calls back at once. Web server, worker, "
                f"far side, Valkey and the load share both cores. Callslip runs with `IN_FLIGHT={IN_FLIGHT}` and audits every step; the "
                "peers' task posts the file, and their callback route updates the row."
            )
        ],
    )
    report.table_of(samples, "service", "jobs")
    rate = {name: middle(found, lambda one: one.rate) for name, found in samples.items()}
    report.goals = [
        *(
            at_least(f"jobs/s, of FastAPI + {kind}", rate["callslip"] / rate[kind], least)
            for kind, least in (("celery prefork 2", 3), ("rq worker", 20))
            if kind in rate
        ),
        at_most("durable commits a job", sum(commits) / max(len(commits), 1), 8, "commits"),
    ]
    return report


def _played(stage: Stage, plan: Plan, count: int, *programs: Running) -> Sample:
    for program in programs:
        program.forget_peak()
    stage.far("begin?callback=1")
    before, began = sum(one.cpu() for one in programs), time.time()
    stage.load(plan)
    until = time.monotonic() + PATIENCE
    while (seen := stage.far("figures"))["applied"] < count:
        if time.monotonic() > until:
            raise RuntimeError(f"{seen['applied']:.0f} of {count} ended; {programs[-1].last_words()}")
        time.sleep(0.05)
    spent = sum(one.cpu() for one in programs) - before
    peak = sum(one.peak() for one in programs)
    return Sample(rate=count / (seen["last_callback"] - began), cpu=spent / count * 1e6, peak=peak)


def _ours(stage: Stage, count: int, commits: list[float]) -> Callable[[], Sample]:
    service = Callslip(stage, IN_FLIGHT=str(IN_FLIGHT))
    api, worker = service.start_api(core=None), service.start_worker(core=None)
    done = 0

    def turn() -> Sample:
        nonlocal done
        before = _commits(service)
        sample = _played(stage, service.uploads(connections=16, count=count), count, api, worker)
        done += count
        service.until_counts("success", done)
        commits.append((_commits(service) - before) / count)
        settled(service.files)
        return sample

    return turn


def _commits(service: Callslip) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/metrics") as answer:
        found = re.search(r"^callslip_commit_seconds_count (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _peers(stage: Stage, peer: Peer, kind: str, count: int) -> Callable[[], Sample]:
    web, worker = peer.start_web(core=None), peer.start_worker(kind, core=None)

    def turn() -> Sample:
        sample = _played(stage, peer.uploads(connections=16, count=count), count, web, worker)
        settled(peer.store)
        return sample

    return turn
