"""A database with many jobs in it, made once a run: the product's own schema, rows made by SQL."""

from __future__ import annotations

import base64
import shutil
import time
from pathlib import Path
from random import Random
from uuid import UUID

from app.infrastructure.sql_engine import open_engine
from app.infrastructure.sql_schema import migrate

DAY = 86_400_000_000
_ID = "printf('%08x-%04x-7000-8000-%012x', (:ms + i) >> 16, (:ms + i) & 65535, i)"
# Nine of ten have succeeded, the others wait for a callback.
_ROWS = f"""
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO job_log (job_id, client, workflow, status, version, attempt, lost_leases, notes, filename, size, sha256,
  media_type, fingerprint, created_at, started_at, delivered_at, completed_at, due_at, salt, head, params)
SELECT {_ID}, 'bench', 'n8n_notion', CASE WHEN i % 10 THEN 'success' ELSE 'waiting' END, 4, 1, 0, 0, 'receipt.png', 99652,
  '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 'image/png',
  '60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752', (:ms + i) * 1000, (:ms + i) * 1000 + 5000,
  (:ms + i) * 1000 + 9000, CASE WHEN i % 10 THEN (:ms + i) * 1000 + 90000 END,
  CASE WHEN i % 10 THEN NULL ELSE :now + {DAY} END,
  '000102030405060708090a0b0c0d0e0f', '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae', '{{}}' FROM n
"""


_DUE = """
UPDATE job_log SET due_at = created_at
WHERE job_id IN (SELECT job_id FROM job_log WHERE status = 'waiting' ORDER BY job_id LIMIT :due)
"""


def fill(path: Path, count: int, patterns: Path, due: int = 0) -> list[UUID]:
    """Makes the SQLite database at `path` with `count` jobs, `due` of them due, and gives the ids in their order. What it
    copies is kept in the folder `patterns` for whoever wants as many."""
    pattern = patterns / f"{count}-jobs.db"
    if not pattern.exists():
        _make(unfinished := pattern.with_suffix(".new"), count)
        unfinished.rename(pattern)
    shutil.copyfile(pattern, path)
    connection = open_engine(f"sqlite:///{path}").connect()
    connection.execute(_DUE, {"due": due})
    ids = [UUID(text) for (text,) in connection.execute("SELECT job_id FROM job_log ORDER BY job_id")]
    connection.close()
    return ids


def _make(path: Path, count: int) -> None:
    url, now = f"sqlite:///{path}", time.time_ns() // 1000
    migrate(url)
    connection = open_engine(url).connect()
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -400000")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_ROWS, {"ms": now // 1000 - count - 3_600_000, "last": count - 1, "now": now})
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def some(ids: list[UUID], count: int = 2000) -> list[UUID]:
    """Any of these, the same in each run."""
    return Random(7).choices(ids, k=count)


def cursor(job_id: UUID) -> str:
    """The place behind this job, as the API writes it."""
    return base64.urlsafe_b64encode(job_id.bytes).rstrip(b"=").decode()
