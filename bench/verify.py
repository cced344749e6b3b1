"""`python -m bench.verify --events 1000000`: how long `audit verify` takes over a database with so many audit lines."""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.domain import lifecycle
from app.domain.audit import StoredLine, genesis, stored, stored_hash
from app.domain.lifecycle import Completed, Delivered, Event, Progressed, Started
from app.domain.models import AuditEvent, FileUploadInfo, Job, JobId, JobResult, Progress, new_job_id
from app.infrastructure.sql_job_changes import DETAILS, INSERT_JOB, LINES
from app.infrastructure.sql_rows import SQLITE_CODEC, Values, job_values, line_values
from app.infrastructure.sql_schema import migrate

ROOT = Path(__file__).resolve().parents[1]
AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIFE: tuple[Event, ...] = (
    Started(lease=MINUTE),
    Delivered(due_in=15 * MINUTE, execution_id="4711"),
    *(
        Progressed(progress=Progress(fraction=step / 5, step=step, steps=5, message="Reading"), due_in=15 * MINUTE)
        for step in range(1, 5)
    ),
    Completed(result=JobResult(message="Page created", data={"pages": 3})),
)


def fill_chains(path: Path, events: int) -> int:
    """Makes the SQLite database at `path` with at least so many audit lines, eight a job; how many it has."""
    migrate(f"sqlite:///{path}")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    job, lines = _life()
    row, patterns = job_values(job, SQLITE_CODEC), [(stored(line), line_values(line, SQLITE_CODEC)) for line in lines]
    jobs = -(-events // len(lines))
    for number in range(jobs):
        job_id = new_job_id(AT + number * timedelta(milliseconds=5))
        head, copies = _copies(job_id, patterns)
        connection.execute(INSERT_JOB, {**row, "job_id": str(job_id), "head": head})
        connection.executemany(LINES.one, copies)
        details = [(line.version, line.detail) for line, _ in patterns if line.detail]
        bodies = [{"job_id": str(job_id), "version": version, "body": body} for version, body in details]
        connection.executemany(DETAILS.one, bodies)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return jobs * len(lines)


def _copies(job_id: JobId, patterns: Sequence[tuple[StoredLine, Values]]) -> tuple[str, list[Values]]:
    """The same life under another id: only the hashes differ. The last of them, and the lines as rows."""
    copies, head = list[Values](), genesis(job_id)
    for line, values in patterns:
        text = line._replace(job_id=str(job_id), prev_hash=head)
        digest = stored_hash(text, text.version)
        copies.append({**values, "job_id": str(job_id), "prev_hash": head, "hash": digest})
        head = digest
    return head, copies


def _life() -> tuple[Job, list[AuditEvent]]:
    file = FileUploadInfo(filename="receipt.png", size=99_652, sha256="9f" * 32, media_type="image/png")
    draft = Job(
        job_id=new_job_id(AT), client="bench", workflow="n8n_notion", file=file, params={"notion_database_id": "db"},
        created_at=AT, due_at=AT, salt="5a" * 16,
    )  # fmt: skip
    job, line = lifecycle.accept(draft, AT)
    lines = [line]
    for number, event in enumerate(LIFE, 1):
        job, line = lifecycle.advance(job, event, AT + number * timedelta(seconds=3))
        lines.append(line)
    return job, lines


def verified(path: Path) -> tuple[float, str]:
    """The seconds that the command takes, start included, and what it says."""
    command = [sys.executable, "-m", "app.admin", "audit", "verify", "--database", f"sqlite:///{path}"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.monotonic() - began, done.stdout.strip()


def main() -> int:
    """Makes, verifies three times, and prints the seconds."""
    parser = argparse.ArgumentParser(prog="python -m bench.verify")
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cs-verify-") as folder:
        path = Path(folder) / "jobs.db"
        began = time.monotonic()
        made = fill_chains(path, options.events)
        print(f"{made} lines made in {time.monotonic() - began:.1f} s")
        for _ in range(3):
            seconds, words = verified(path)
            print(f"{seconds:.2f} s, {seconds / made * 1e6:.1f} us a line: {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
