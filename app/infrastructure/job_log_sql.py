"""The job log in SQLite or PostgreSQL: one row per job, one per audit line, one per detail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from app.domain.errors import JobNotFound
from app.domain.lifecycle import Noted
from app.domain.models import AuditEvent, Job, JobId
from app.domain.quotas import Allowance
from app.domain.verification import StoredHistory
from app.infrastructure.sql_columns import LINE_COLUMNS
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_job_changes import Add, AddUnlessMade, Begin, Erase, Record
from app.infrastructure.sql_rows import (
    SELECT_JOB,
    Values,
    erased,
    job_from,
    job_values,
    json_in,
    line_from,
    line_values,
)
from app.infrastructure.sql_walk import walk, walk_one

SELECT_ONE = f"{SELECT_JOB} WHERE job_id = :job_id"
SELECT_LINES = (
    f"SELECT {', '.join(f'e.{name}' for name in LINE_COLUMNS)}, d.body FROM audit_event e"  # noqa: S608 - as above
    " LEFT JOIN audit_detail d ON d.job_id = e.job_id AND d.version = e.version"
    " WHERE e.job_id = :job_id AND e.version > :after ORDER BY e.version"
)


class SqlJobLogStore:
    def __init__(self, database: SqlDatabase, *, keep_notices: bool) -> None:
        self._database = database
        self._codec = database.codec
        self._keep_notices = keep_notices

    async def add(
        self, job: Job, line: AuditEvent, made_since: datetime | None = None, within: Allowance | None = None
    ) -> None:
        asks = made_since is not None and job.dedup_key is not None
        kind, more = (AddUnlessMade, {"made_since": self._codec.time(made_since)}) if asks else (Add, {})
        change = kind(
            job_id=job.job_id,
            job=job_values(job, self._codec) | more,
            line=line_values(line, self._codec),
            detail=self._detail(line),
            within=within,
        )
        await self._database.write(change)

    async def record(self, job: Job, line: AuditEvent, places: int | None = None) -> None:
        kind, more = (Record, {}) if places is None else (Begin, {"places": places, "most": places})
        change = kind(
            job_id=job.job_id,
            job=job_values(job, self._codec) | more,
            line=line_values(line, self._codec),
            detail=self._detail(line),
            notice=self._notice(line),
        )
        await self._database.write(change)

    async def erase(self, job: Job, line: AuditEvent) -> None:
        change = Erase(
            job_id=job.job_id,
            job=job_values(erased(job), self._codec),
            line=line_values(line, self._codec),
            detail=None,
        )
        await self._database.write(change)

    async def get(self, job_id: JobId) -> Job:
        rows = await self._database.rows(SELECT_ONE, self._named(job_id), quick=True)
        if not rows:
            raise JobNotFound(f"there is no job {job_id}")
        return job_from(rows[0], self._codec)

    async def history(self, job_id: JobId, after: int = 0) -> list[AuditEvent]:
        rows = await self._database.rows(SELECT_LINES, self._named(job_id, after=after), quick=True)
        if not rows:
            await self.get(job_id)
        return [line_from(row, self._codec) for row in rows]

    def walk(
        self, job_id: JobId | None = None, *, after: JobId | None = None, to: JobId | None = None
    ) -> AsyncIterator[StoredHistory]:
        return walk_one(self._database, job_id) if job_id else walk(self._database, after, to)

    def _named(self, job_id: JobId, **more: object) -> Values:
        return {"job_id": self._codec.id_in(job_id), **more}

    def _detail(self, line: AuditEvent) -> Values | None:
        return self._named(line.job_id, version=line.version, body=json_in(line.detail)) if line.detail else None

    def _notice(self, line: AuditEvent) -> Values | None:
        if not self._keep_notices or not line.after.ended or line.type == Noted.__name__:
            return None
        return self._named(line.job_id, version=line.version, due_at=self._codec.time_in(line.at), tries=0)
