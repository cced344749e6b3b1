"""What local workflows leave behind: the notes of their steps, what is stored of them, and when schedules are due."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from app.infrastructure.sql_engine import Engine, open_engine
from chaos.collect import query
from chaos.journal import read
from chaos.stack import Stack
from chaos.step_checker import Run

FIRST = "before the first step"


def engine_of(stack: Stack) -> Engine:
    """The product's own way to its database: two libraries of SQLite must not write to one file."""
    return open_engine(stack.settings.get("DATABASE_URL", f"sqlite:///{stack.data}/callslip.db"))


def put_back(stack: Stack, at: datetime) -> None:
    """Every schedule is due at this time, past the product."""
    engine = engine_of(stack)
    with closing(engine.connect()) as connection:
        connection.execute(engine.text("UPDATE schedule SET due_at = :at"), {"at": engine.codec.time_in(at)})


def overdue(stack: Stack) -> int:
    """How many schedules are due and have not fired."""
    engine = engine_of(stack)
    with closing(engine.connect()) as connection:
        asked = engine.text("SELECT count(*) FROM schedule WHERE due_at <= :at")
        found = connection.execute(asked, {"at": engine.codec.time_in(datetime.now(UTC))})
        return int(found.fetchone()[0])


def runs_of(stack: Stack) -> list[Run]:
    """What the steps noted of themselves."""
    notes = list(read(stack.folder / "runs.jsonl", "run"))
    ended = {note["token"]: note["at"] for note in notes if note["phase"] == "ended"}
    return [
        Run(
            job_id=note["job_id"],
            step=note["step"],
            token=note["token"],
            began=note["at"],
            ended=ended.get(note["token"]),
            saw=note["saw"],
        )
        for note in notes
        if note["phase"] == "began" and note["step"] != "tick"
    ]


def place(runs: Sequence[Run], at: float) -> str:
    """Where a job was at that time, by the notes of its steps: before or after what a step made was stored."""
    before = [run for run in runs if run.began <= at]
    if not before:
        return FIRST
    last = max(before, key=lambda run: run.began)
    if last.ended is None or last.ended > at:
        return f"inside {last.step}"
    again = any(run.step == last.step and run.began > at for run in runs)
    return f"{'before' if again else 'after'} {last.step} was stored"


def ticks_of(stack: Stack) -> Mapping[str, list[str]]:
    """The jobs that ran for each schedule."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for note in read(stack.folder / "runs.jsonl", "run"):
        if note["step"] == "tick":
            found[note["name"]].append(note["job_id"])
    return found


def stored_of(stack: Stack) -> dict[str, dict[str, Any]]:
    """What the database holds of each finished step."""
    found: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for record in query(stack, "SELECT job_id, name, output FROM step_output"):
        found[str(record["job_id"])][record["name"]] = json.loads(record["output"])
    return found
