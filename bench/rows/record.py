"""What it costs to write the record, and to check it (row 14)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any

import uvloop

from app.domain import lifecycle
from app.domain.models import AuditEvent, FileUploadInfo, Job, new_job_id
from app.infrastructure.job_log_sql import SqlJobLogStore
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_job_changes import DETAILS, INSERT_JOB, LINES
from app.infrastructure.sql_rows import job_values, json_in, line_values
from app.infrastructure.sql_schema import migrate
from bench.report import Report, at_least, at_most, middle
from bench.stage import Sample, Stage
from bench.verify import fill_chains, verified

EVENTS = 1_000_000
VERIFICATIONS = 2
COMMITS = 200
TOGETHER = 16


def verify(stage: Stage) -> Report:
    """Row 14."""
    path = stage.folder / "jobs.db"
    made = fill_chains(path, EVENTS)
    seconds, words = zip(*(verified(path) for _ in range(min(stage.rounds, VERIFICATIONS))), strict=True)
    return Report(
        title="Verifying the record (row 14)",
        notes=[
            (
                "`python -m app.admin audit verify` over a SQLite file, its start included, on all cores: every chain is hashed anew, "
                f"folded, and compared with its row. It says: {words[0].splitlines()[0]}"
            )
        ],
        columns=["audit lines", "median s", "us a line"],
        lines=[[f"{made:,}", f"{median(seconds):.1f}", f"{median(seconds) / made * 1e6:.1f}"]],
        goals=[at_most("verifying 1,000,000 audit lines", median(seconds) * EVENTS / made, 10, "s")],
    )


def commits(stage: Stage) -> Report:
    """A job's first version made durable, by a bare connection and through the group commit."""
    urls = {"SQLite": f"sqlite:///{stage.folder}/commits.db", "PostgreSQL": stage.database("commits")}
    turns: dict[str, Callable[[], Sample]] = {}
    for name, url in urls.items():
        migrate(url)
        turns[f"{name}, bare connection, one by one"] = lambda url=url: _bare(url)  # type: ignore[misc]
        turns[f"{name}, group commit, one by one"] = lambda url=url: _grouped(url, 1)  # type: ignore[misc]
        turns[f"{name}, group commit, {TOGETHER} at a time"] = lambda url=url: _grouped(url, TOGETHER)  # type: ignore[misc]
    samples = stage.take_turns(turns)
    report = Report(
        title="Group commit",
        notes=[
            (
                "In one process: a job's row, its first audit line and its detail, durable (SQLite: WAL with synchronous=FULL). One by one, "
                "the next begins when the one before is answered; the bare connection runs the same three statements between BEGIN and COMMIT."
            )
        ],
    )
    report.table_of(samples, "how", "jobs")
    p50 = {name: middle(found, lambda one: one.p50) for name, found in samples.items()}
    rate = {name: middle(found, lambda one: one.rate) for name, found in samples.items()}
    for name in urls:
        bare, alone = f"{name}, bare connection, one by one", f"{name}, group commit, one by one"
        together = f"{name}, group commit, {TOGETHER} at a time"
        report.goals += [
            at_most(f"{name}: latency alone, of a bare commit's", p50[alone] / p50[bare], 1.25),
            at_least(f"{name}: jobs/s together, of one by one", rate[together] / rate[alone], 2),
        ]
    return report


def _jobs(count: int) -> Iterator[tuple[Job, AuditEvent]]:
    file = FileUploadInfo(filename="receipt.png", size=99652, sha256="9f" * 32, media_type="image/png")
    for _ in range(count):
        at = datetime.now(UTC)
        draft = Job(
            job_id=new_job_id(at), client="bench", workflow="n8n_notion", file=file, params={"notion_database_id": "db"},
            created_at=at, due_at=at, salt=os.urandom(16).hex(),
        )  # fmt: skip
        yield lifecycle.accept(draft, at)


def _sample(times: list[float], seconds: float, spent: float) -> Sample:
    cuts = quantiles(times, n=100)
    count = len(times)
    return Sample(rate=count / seconds, p50=cuts[49] * 1000, p99=cuts[98] * 1000, cpu=spent / count * 1e6)


def _bare(url: str) -> Sample:
    engine = SqlDatabase(url).engine
    connection, codec = engine.connect(), engine.codec
    statements = [engine.text(sql) for sql in (INSERT_JOB, LINES.one, DETAILS.one)]
    times, began, spent = [], time.perf_counter(), time.process_time()
    for job, line in _jobs(COMMITS):
        at = time.perf_counter()
        cursor: Any = connection.cursor()
        cursor.execute(engine.begin)
        detail = {"job_id": codec.id_in(job.job_id), "version": line.version, "body": json_in(line.detail or {})}
        for sql, values in zip(statements, (job_values(job, codec), line_values(line, codec), detail), strict=True):
            cursor.execute(sql, values)
        cursor.execute("COMMIT")
        times.append(time.perf_counter() - at)
    sample = _sample(times, time.perf_counter() - began, time.process_time() - spent)
    connection.close()
    return sample


def _grouped(url: str, together: int) -> Sample:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_added(url, together))


async def _added(url: str, together: int) -> Sample:
    database = SqlDatabase(url)
    log, times = SqlJobLogStore(database, keep_notices=False), []
    await log.add(*next(_jobs(1)))  # the writer's thread and connection are there
    jobs, began, spent = _jobs(COMMITS), time.perf_counter(), time.process_time()

    async def client() -> None:
        for job, line in jobs:
            at = time.perf_counter()
            await log.add(job, line)
            times.append(time.perf_counter() - at)

    await asyncio.gather(*(client() for _ in range(together)))
    sample = _sample(times, time.perf_counter() - began, time.process_time() - spent)
    await database.close()
    return sample
