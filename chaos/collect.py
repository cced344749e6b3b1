"""Gathers the evidence once everything has stopped: journals, database, store, logs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from psycopg.rows import dict_row

from chaos.clients import MARK
from chaos.evidence import Ack, Callback, Evidence, Line, Receipt, Row, Stored, Stream
from chaos.journal import read
from chaos.parts import everyday_environment
from chaos.stack import Stack

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = "SELECT * FROM job_log"
LINES = """
SELECT e.*, d.body AS detail FROM audit_event e
LEFT JOIN audit_detail d ON d.job_id = e.job_id AND d.version = e.version ORDER BY e.job_id, e.version
"""
CONNECTIONS = """
SELECT state FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
# One more lost lease and the job, not the worker, would be taken for the culprit: what the product promises, too.
UNEASY = "SELECT count(*) AS n FROM job_log WHERE lost_leases >= 2 AND status IN ('queued', 'processing')"
UNFINISHED = "SELECT count(*) AS n FROM job_log WHERE status NOT IN ('success', 'failure', 'cancelled')"


def query(stack: Stack, sql: str) -> list[dict[str, Any]]:
    """What the database says, asked past the product."""
    if stack.cluster:
        with psycopg.connect(stack.cluster.url(), row_factory=dict_row) as connection:
            return connection.execute(sql).fetchall()
    url = stack.settings.get("DATABASE_URL", f"sqlite:///{stack.data}/callslip.db")
    return sqlite_query(Path(url.removeprefix("sqlite:///")), sql)


def sqlite_query(path: Path, sql: str) -> list[dict[str, Any]]:
    """The same for a file."""
    connection = sqlite3.connect(path, timeout=10)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]
    finally:
        connection.close()


async def uneasy(stack: Stack) -> bool:
    """Whether some job's next lost worker would be its last, or nobody can tell: then workers are to be spared."""
    try:
        return bool((await asyncio.to_thread(query, stack, UNEASY))[0]["n"])
    except (psycopg.Error, sqlite3.Error):
        return True


async def until_ended(stack: Stack, patience: float) -> float:
    """Waits until no job is unfinished or patience ends; the seconds that took."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while clock() - began < patience:
        try:
            if not (await asyncio.to_thread(query, stack, UNFINISHED))[0]["n"]:
                break
        except (psycopg.Error, sqlite3.Error):
            pass
        await asyncio.sleep(0.5)
    return clock() - began


async def until_tidy(stack: Stack) -> None:
    """Waits until housekeeping has removed what killed uploads left behind. It compares a thousand files with their rows
    in a round, and a round is sixty sweeps."""
    until = asyncio.get_running_loop().time() + 60 + sum(1 for _ in _stored(stack)) / 25
    while asyncio.get_running_loop().time() < until:
        stored, known = {path.name for path in _stored(stack)}, await asyncio.to_thread(query, stack, ROWS)
        if not _incoming(stack) and stored <= {str(row["job_id"]) for row in known}:
            return
        await asyncio.sleep(0.5)


async def stop_and_collect(stack: Stack, *, honest: bool = True, tidy: bool = True) -> Evidence:
    """Ends everything but the database, reads all there is, and then ends the database too."""
    if tidy:
        await until_tidy(stack)
    wrong: list[str] = []
    for name in ("api", "worker", "valkey", "far"):
        members = [part for key, part in stack.parts.items() if key.startswith(name)]
        for said in await asyncio.gather(*(part.stop() for part in members)):
            wrong += said
    verified, words = await verify(stack)
    evidence = await asyncio.to_thread(collect, stack, wrong, verified, honest=honest)
    if verified:
        stack.setup.say(f"audit verify: {words[-500:]}")
    await stack.stop()
    return evidence


async def verify(stack: Stack) -> tuple[int, str]:
    """The product's own verification: its exit status and words."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.admin", "audit", "verify"),
        cwd=stack.folder,
        env={**everyday_environment(), **stack.settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode("utf-8", "replace")


def collect(stack: Stack, wrong: Iterable[str], verified: int, *, honest: bool) -> Evidence:
    """Everything, from everybody."""
    folder, rows, lines = stack.folder, query(stack, ROWS), query(stack, LINES)
    far = folder / "far.jsonl"
    remains = [*wrong, *_connections(stack), *(f"the half-written file {path.name}" for path in _incoming(stack))]
    return Evidence(
        acks=tuple(Ack(**record) for record in read(folder / "clients.jsonl", "ack")),
        streams=tuple(
            Stream(**{**record, "versions": tuple(record["versions"])})
            for record in read(folder / "clients.jsonl", "stream")
        ),
        receipts=tuple(Receipt(**record) for record in read(far, "receipt")),
        callbacks=tuple(Callback(**record) for record in read(far, "callback")),
        rows=tuple(row_of(row) for row in rows),
        lines=tuple(line_of(line) for line in lines),
        stored=tuple(_hashed(path) for path in _stored(stack)),
        verified=verified,
        remains=tuple(remains),
        secrets_found=tuple(_secrets(stack)),
        honest=honest,
    )


def _connections(stack: Stack) -> Iterator[str]:
    """Connections to PostgreSQL that outlived their processes. Killed ones' are closed by the server as it notices: soon."""
    if stack.cluster:
        until = monotonic() + 5
        while (left := query(stack, CONNECTIONS)) and monotonic() < until:
            sleep(0.1)
        for one in left:
            yield f"a connection to the database, {one['state']}"


def row_of(row: Mapping[str, Any]) -> Row:
    """A row as the database gives it."""
    return Row(
        job_id=str(row["job_id"]),
        status=row["status"],
        version=row["version"],
        attempt=row["attempt"],
        lost_leases=row["lost_leases"],
        size=row["size"],
        sha256=row["sha256"],
        result_message=row["result_message"],
        has_due_at=row["due_at"] is not None,
        file_removed=row["file_removed_at"] is not None,
        salt=row["salt"],
        head=row["head"],
        idempotency_key=row["idempotency_key"],
        error=None if row["error_type"] is None else f"{row['error_type']}: {row['error_detail']}",
    )


def line_of(line: Mapping[str, Any]) -> Line:
    """A line as the database gives it."""
    at = line["at"]
    moment = EPOCH + timedelta(microseconds=at) if isinstance(at, int) else at.astimezone(UTC)
    return Line(
        job_id=str(line["job_id"]),
        version=line["version"],
        at=moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        type=line["type"],
        before=line["before"],
        after=line["after"],
        facts=json.loads(line["facts"]),
        commitment=line["commitment"],
        prev_hash=line["prev_hash"],
        hash=line["hash"],
        detail=None if line["detail"] is None else json.loads(line["detail"]),
    )


def _stored(stack: Stack) -> Iterator[Path]:
    return (stack.data / "files" / "stored").glob("*/*")


def _incoming(stack: Stack) -> list[Path]:
    return list((stack.data / "files" / "incoming").glob("*"))


def _hashed(path: Path) -> Stored:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return Stored(job_id=path.name, sha256=digest.hexdigest(), size=path.stat().st_size)


def _secrets(stack: Stack) -> Iterator[str]:
    """Looks for every secret, and for files' content, in each log and each file of the data folder but the store."""
    wanted = {name: value.encode() for name, value in stack.secrets.items()} | {"a file's content": MARK}
    places = [*stack.folder.glob("*.log"), *(path for path in stack.data.rglob("*") if path.is_file())]
    for path in places:
        if (stack.data / "files") in path.parents:
            continue
        content = path.read_bytes()
        for name, value in wanted.items():
            if value in content:
                yield f"{name} stands in {path.name}"
