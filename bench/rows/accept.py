"""Accepting a 100 KB picture: everything on and durable, beside the bare limit and the peers (rows 1 to 3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from redis import Redis

from bench.callslip import Callslip
from bench.load import Plan
from bench.peer import Peer, limit
from bench.process import Running
from bench.report import Goal, Report, Samples, at_least, at_most, middle
from bench.stage import FORM, Sample, Stage, settled

CONNECTIONS, SECONDS, WARM = 16, 2.1, 0.3
PEERS = ("celery", "dramatiq", "arq", "taskiq", "rq", "background", "naive")
LIMIT = "bare ASGI, file with fsync"
NOTE = (
    f"{CONNECTIONS} connections, {SECONDS - WARM:.1f} s of load a turn, one server process each. Callslip authenticates, parses, hashes and "
    "finds the type of each file, fsyncs file and folder, commits row and audit line with `synchronous=FULL`, keeps an idempotency key "
    "and rings. The limit writes the body as it comes into a file and fsyncs it. The peers save the file, insert a row "
    "(SQLite with `synchronous=NORMAL`) and enqueue the id; they neither fsync nor hash nor check nor audit."
)


def accept(stage: Stage) -> Report:
    """Rows 1 and 2, on SQLite."""
    turns = {LIMIT: _limit(stage), "callslip": _callslip(stage, Callslip(stage))}
    for name in PEERS:
        turns[name] = _peer(stage, Peer(stage, name))
    report = Report(title="Accepting a 100 KB upload (rows 1 and 2)", notes=[NOTE])
    samples = stage.take_turns(turns)
    report.table_of(samples, "accepting", "uploads")
    report.goals = [
        _rate(samples, LIMIT, 0.40),
        at_most("p99, of the limit's", _p99(samples, "callslip") / _p99(samples, LIMIT), 2.5),
        *(_rate(samples, name, 2) for name in ("celery", "dramatiq", "arq", "taskiq") if name in samples),
        _rate(samples, "background", 1.3),
        _rate(samples, "naive", 4),
    ]
    return report


def accept_on_postgresql(stage: Stage) -> Report:
    """Row 3."""
    ours = Callslip(stage, DATABASE_URL=stage.database("callslip"))
    turns = {LIMIT: _limit(stage), "callslip": _callslip(stage, ours)}
    for name in ("celery", "naive"):
        turns[name] = _peer(stage, Peer(stage, name, database=stage.database(name)))
    report = Report(
        title="Accepting a 100 KB upload on PostgreSQL (row 3)",
        notes=[
            "As above, with a PostgreSQL of the same settings for all (`fsync` and `synchronous_commit` on) on the other core."
        ],
    )
    samples = stage.take_turns(turns)
    report.table_of(samples, "accepting", "uploads")
    report.goals = [_rate(samples, "celery", 2), _rate(samples, "naive", 4)]
    return report


def _rate(samples: Samples, other: str, least: float) -> Goal:
    def rate(name: str) -> float:
        return middle(samples[name], lambda one: one.rate)

    return at_least(f"uploads/s, of {other}", rate("callslip") / rate(other), least)


def _p99(samples: Samples, name: str) -> float:
    return middle(samples[name], lambda one: one.p99)


def _limit(stage: Stage) -> Callable[[], Sample]:
    server, port = limit(stage, "to_file")
    plan = Plan(
        ports=[port], method="POST", headers={"Content-Type": FORM}, body=str(stage.form), expect=202, **_figures()
    )
    return _turn(stage, server, plan, stage.folder / "limit")


def _callslip(stage: Stage, service: Callslip) -> Callable[[], Sample]:
    return _turn(stage, service.start_api(), service.uploads(**_figures()), service.files, service.queue)


def _peer(stage: Stage, peer: Peer) -> Callable[[], Sample]:
    return _turn(stage, peer.start_web(), peer.uploads(**_figures()), peer.store, peer.queue)


def _figures() -> dict[str, float]:
    return {"connections": CONNECTIONS, "seconds": SECONDS, "warm": WARM}


def _turn(stage: Stage, server: Running, plan: Plan, store: Path, queue: Redis | None = None) -> Callable[[], Sample]:
    before = 0

    def turn() -> Sample:
        nonlocal before
        sample = stage.measure(plan, server)
        before, kept = (after := settled(store)), after - before
        if kept < sample.more["sent"]:
            raise RuntimeError(f"{kept} files for {sample.more['sent']:.0f} answers")
        if queue is not None:
            queue.flushdb()
        return sample

    return turn
