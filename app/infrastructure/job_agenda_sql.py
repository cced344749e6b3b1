"""Which jobs are due, by SQLite or PostgreSQL: one partial index for each kind of waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter

from app.domain.models import Job, JobId
from app.infrastructure import sql_subjects
from app.infrastructure.sql_database import Query, SqlDatabase
from app.infrastructure.sql_rows import SELECT_JOB, Values, job_from
from app.infrastructure.sql_tables import AGAIN, BY_END, ERASABLE, HELD, INDEXES, NEW
from app.infrastructure.sql_writer import Batch, Change, Outcome

RENEW = "UPDATE job_log SET due_at = :due_at WHERE job_id = :job_id AND status = 'processing' AND attempt = :attempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew(Change):
    """A lease that goes on. Gives back whether it was still held."""

    job_id: JobId
    values: Values

    @staticmethod
    def apply(batch: Batch, run: Sequence[Renew]) -> list[Outcome]:
        return [bool(count) for count in batch.many(RENEW, [renew.values for renew in run])]


class SqlJobAgenda:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._codec = database.codec

    async def due(self, at: datetime, limit: int, workflows: Collection[str]) -> list[Job]:
        return await self._longest_due([self._query(HELD, at, limit, workflows)], limit)

    async def startable(
        self,
        at: datetime,
        limit: int,
        workflows: Collection[str],
        *,
        new_before: datetime | None,
        without: Collection[JobId] = (),
        places: Mapping[str, int] | None = None,
    ) -> list[Job]:
        enough = limit + len(without)
        queries = [self._query(AGAIN, at, enough, workflows)]
        if new_before is not None:
            sql, values = self._query(NEW, at, enough, workflows, self._may_begin)
            more = {"new_before": self._codec.time_in(new_before), **self._counted(places or {})}
            queries.append((sql, values | more))
        return await self._longest_due(queries, limit, without)

    async def renew(self, attempts: Mapping[JobId, int], until: datetime) -> set[JobId]:
        due_at = self._codec.time_in(until)
        renewals = [
            Renew(job_id=job_id, values={"job_id": self._codec.id_in(job_id), "attempt": attempt, "due_at": due_at})
            for job_id, attempt in attempts.items()
        ]
        held = await asyncio.gather(*map(self._database.write, renewals))
        return {renewal.job_id for renewal, still in zip(renewals, held, strict=True) if still}

    async def erasable(
        self, ended_before: datetime, limit: int, *, only: str | None = None, without: Collection[str] = ()
    ) -> list[Job]:
        engine = self._database.engine
        values = {"ended_before": self._codec.time_in(ended_before), "limit": limit}
        if only is not None:
            workflows, values["workflow"] = "workflow = :workflow", only
        else:
            workflows, values["without"] = f"NOT {engine.among('workflow', 'without')}", engine.many(without)
        where = f"{ERASABLE} AND completed_at < :ended_before AND ({workflows})"
        sql = f"{SELECT_JOB}{engine.by(BY_END)} WHERE {where} ORDER BY completed_at LIMIT :limit"
        return [job_from(row, self._codec) for row in await self._database.rows(sql, values)]

    async def now(self) -> datetime:
        if self._database.engine.name == "sqlite":
            return datetime.now(UTC)  # the file is on this machine
        rows = await self._database.rows("SELECT clock_timestamp()", {})
        return self._codec.time_out(rows[0][0])

    @property
    def _may_begin(self) -> str:
        return f"AND created_at < :new_before AND {sql_subjects.may_begin(self._database.engine)}"

    def _counted(self, places: Mapping[str, int]) -> Values:
        return {"places": self._database.engine.numbers(places), "most": sql_subjects.most(places)}

    def _query(self, kind: str, at: datetime, limit: int, workflows: Collection[str], more: str = "") -> Query:
        values = {"at": self._codec.time_in(at), "limit": limit, "workflows": self._database.engine.many(workflows)}
        known = self._database.engine.among("workflow", "workflows")
        where = f"{kind} AND due_at <= :at AND {known} {more}"
        index = self._database.engine.by(INDEXES[kind])
        return f"{SELECT_JOB}{index} WHERE {where} ORDER BY due_at LIMIT :limit", values

    async def _longest_due(self, queries: Sequence[Query], limit: int, without: Collection[JobId] = ()) -> list[Job]:
        found = await self._database.snapshot(queries)
        jobs = [job_from(row, self._codec) for rows in found for row in rows]
        ready = [job for job in jobs if job.job_id not in without]
        return sorted(ready, key=attrgetter("due_at"))[:limit]
