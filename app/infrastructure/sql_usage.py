"""How much a client has used of its quotas: the same question for whoever asks and whoever adds a job."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from app.domain.quotas import Quotas, Usage
from app.infrastructure.sql_columns import BY_CLIENT, OPEN_BY_CLIENT, UNFINISHED
from app.infrastructure.sql_engine import Engine
from app.infrastructure.sql_rows import Row, Values


def query(engine: Engine, client: str, quotas: Quotas, at: datetime) -> tuple[str, Values]:
    """Asks for jobs, bytes and unfinished jobs, each only where a quota bounds it."""
    jobs, volume, unfinished = "0", "0", "0"
    values: Values = {"client": client}
    if quotas.jobs:
        jobs = _within(engine, "count(*)", "jobs_since")
        values["jobs_since"] = engine.codec.time_in(quotas.jobs.since(at))
    if quotas.volume:
        volume = _within(engine, "coalesce(sum(size), 0)", "volume_since")
        values["volume_since"] = engine.codec.time_in(quotas.volume.since(at))
    if quotas.unfinished:
        index = engine.by(OPEN_BY_CLIENT)
        unfinished = f"(SELECT count(*) FROM job_log{index} WHERE client = :client AND {UNFINISHED})"  # noqa: S608 - our own names
    return f"SELECT {jobs}, {volume}, {unfinished}", values


def _within(engine: Engine, what: str, since: str) -> str:
    index = engine.by(BY_CLIENT)
    return f"(SELECT {what} FROM job_log{index} WHERE client = :client AND created_at > :{since})"  # noqa: S608 - as above


def read(rows: Sequence[Row]) -> Usage:
    """The answer."""
    jobs, volume, unfinished = map(int, rows[0])
    return Usage(jobs=jobs, volume=volume, unfinished=unfinished)


def turn(client: str) -> int:
    """The number that stands for a client's quotas, in PostgreSQL's advisory locks."""
    digest = hashlib.blake2b(client.encode(), digest_size=8, person=b"callslip-client")
    return int.from_bytes(digest.digest(), signed=True)
