"""What one worker delivers, beside the peers' workers (rows 6 and 7)."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.callslip import Callslip
from bench.peer import WORKERS, Peer
from bench.process import Running
from bench.report import Goal, Report, Samples, at_least, at_most, holds, middle
from bench.stage import Sample, Stage, settled

IN_FLIGHT = 100
IN_HAND = 150  # jobs of a worker: those in flight, and those whose start or end is being recorded
PATIENCE = 40.0
NOTE = (
    "Each worker is stopped while its queue is filled with 100 KB files, and let go on: the rate runs from the first delivery that "
    "the far side sees to the last answer it gives, CPU is that of the worker's processes until its books are done. Callslip runs with "
    f"`IN_FLIGHT={IN_FLIGHT}` (8 is the default), which bounds what the far side has at a time, and `WORKER_CONCURRENCY={IN_HAND}` "
    "(100), which bounds what the worker has in hand. The peers read the file and post it in their library's usual way, and record nothing."
)
# How many jobs each gets: one to two seconds' worth.
AT_ONCE = {
    "callslip": 1000,
    "rq worker": 24,
    "rq SimpleWorker": 300,
    "celery prefork 2": 900,
    "dramatiq 2 x 16": 1200,
    "arq 100": 1200,
    "taskiq 100": 1200,
}
# A stopped taskiq worker loses the job that it was about to be given, and dies: it is started anew for each turn.
FRESH = ("taskiq 100",)
SLOW = {"callslip": 1200, "rq worker": 8, "celery gevent 100": 400, "arq 100": 800, "taskiq 100": 800}


def deliver(stage: Stage) -> Report:
    """Row 6: the far side answers at once."""
    samples, exact = _played(stage, AT_ONCE, "begin?delay=0")
    report = Report(title="Deliveries by one worker, far side answers at once (row 6)", notes=[NOTE])
    report.table_of(samples, "worker", "deliveries")
    report.goals = [
        _times(samples, "rq worker", 50),
        _times(samples, "rq SimpleWorker", 8),
        *(_times(samples, name, 1) for name in samples if name in list(AT_ONCE)[3:]),
        exact,
    ]
    return report


def deliver_slowly(stage: Stage) -> Report:
    """Row 7: the far side takes 100 ms."""
    samples, exact = _played(stage, SLOW, "begin?delay=0.1")
    report = Report(title="Deliveries by one worker, far side takes 100 ms (row 7)", notes=[NOTE])
    report.table_of(samples, "worker", "deliveries")
    ours = middle(samples["callslip"], lambda one: one.rate)
    report.goals = [
        at_least("of what 100 slots allow at 100 ms", ours / (IN_FLIGHT / 0.1), 0.80),
        _times(samples, "rq worker", 80),
        at_most("CPU a delivery", middle(samples["callslip"], lambda one: one.cpu) / 1000, 1, "ms"),
        exact,
    ]
    return report


def _times(samples: Samples, other: str, least: float) -> Goal:
    if other not in samples:
        return holds(f"deliveries/s, of {other}", "it did not run", reached=False)
    ours = middle(samples["callslip"], lambda one: one.rate)
    return at_least(f"deliveries/s, of {other}", ours / middle(samples[other], lambda one: one.rate), least)


def _played(stage: Stage, counts: dict[str, int], begin: str) -> tuple[Samples, Goal]:
    wrong: list[str] = []
    turns: dict[str, Callable[[], Sample]] = {"callslip": _ours(stage, counts["callslip"], begin, wrong)}
    peers: dict[str, Peer] = {}
    for number, kind in enumerate((kind for kind in counts if kind in WORKERS), 2):
        name = WORKERS[kind][0]
        peers[kind] = Peer(stage, name, number=number, label=kind)
        peers[kind].start_web()
        turns[kind] = _peers(stage, peers[kind], kind, counts[kind], begin)
    samples = stage.take_turns(turns)
    return samples, holds("registries exact, every step in the audit", "; ".join(wrong) or "yes", reached=not wrong)


def _nothing_to_book() -> None:
    return None


def _drain(stage: Stage, worker: Running, count: int, booked: Callable[[], None] = _nothing_to_book) -> Sample:
    worker.forget_peak()
    before, until = worker.cpu(), time.monotonic() + PATIENCE
    worker.go_on()
    while (seen := stage.far("figures"))["answered"] < count:
        if time.monotonic() > until:
            raise RuntimeError(f"only {seen['answered']:.0f} of {count} were delivered: {worker.last_words()}")
        time.sleep(0.1)
    booked()
    spent, peak = worker.cpu() - before, worker.peak()
    worker.pause()
    if seen["repeats"]:
        stage.say(f"{worker.name} delivered {seen['repeats']:.0f} jobs twice")
    return Sample(rate=count / (seen["last"] - seen["first"]), cpu=spent / count * 1e6, peak=peak)


def _ours(stage: Stage, count: int, begin: str, wrong: list[str]) -> Callable[[], Sample]:
    service = Callslip(stage, IN_FLIGHT=str(IN_FLIGHT), WORKER_CONCURRENCY=str(IN_HAND), CALLBACK_TIMEOUT="1h")
    service.start_api()
    worker = service.start_worker()
    worker.pause()
    done = 0

    def turn() -> Sample:
        nonlocal done
        stage.load(service.uploads(connections=16, count=count))
        stage.far(begin)
        done += count
        sample = _drain(stage, worker, count, lambda: service.until_counts("waiting", done))
        worker.go_on()
        time.sleep(0.3)
        found = service.registries()
        worker.pause()
        lines = service.lines()
        if any(found[name] for name in ("queued", "intermediate", "started", "failed")) or lines != done * 3:
            wrong.append(f"{found}, {lines} lines for {done} jobs")
        settled(service.files)
        return sample

    return turn


def _peers(stage: Stage, peer: Peer, kind: str, count: int, begin: str) -> Callable[[], Sample]:
    if kind in FRESH:
        return lambda: _fresh(stage, peer, kind, count, begin)
    worker = peer.start_worker(kind)
    stage.far("begin?delay=0")
    peer.stock(1)
    until = time.monotonic() + 20
    while not stage.far("figures")["answered"]:
        if time.monotonic() > until:
            raise RuntimeError(f"{kind} does not begin: {worker.last_words()}")
        time.sleep(0.1)
    worker.pause()

    def turn() -> Sample:
        peer.stock(count)
        stage.far(begin)
        sample = _drain(stage, worker, count)
        settled(peer.store)
        return sample

    return turn


def _fresh(stage: Stage, peer: Peer, kind: str, count: int, begin: str) -> Sample:
    peer.stock(count)
    stage.far(begin)
    worker = peer.start_worker(kind)
    while not stage.far("figures")["answered"]:
        time.sleep(0.02)
    sample = _drain(stage, worker, count)
    worker.stop()
    settled(peer.store)
    return sample
