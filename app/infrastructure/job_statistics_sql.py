"""Figures about many jobs, in SQLite or PostgreSQL: counted in an index, or from a small sample."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.domain.models import JobStatus, first_id
from app.domain.protocols import HourOfJobs
from app.infrastructure.sql_database import Query, SqlDatabase
from app.infrastructure.sql_rows import Row

HOUR = timedelta(hours=1)
NEWEST = "SELECT created_at, completed_at FROM job_log WHERE {condition} AND status = 'success' ORDER BY job_id DESC LIMIT :limit"
# ix_job_log_status answers both alone; one status at a time, or the table itself would be read.
WITHIN = "status = :status AND job_id >= :since AND job_id < :before"
COUNT = f"SELECT count(*) FROM job_log WHERE {WITHIN}"  # noqa: S608 - our own condition


class SqlJobStatistics:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._codec = database.codec

    async def durations(self, workflow: str, limit: int) -> list[timedelta]:
        sql = NEWEST.format(condition="workflow = :workflow")
        return self._durations(await self._database.rows(sql, {"workflow": workflow, "limit": limit}))

    async def hours(self, since: datetime, count: int, sample: int) -> list[HourOfJobs]:
        times = [since + number * HOUR for number in range(count)]
        rows = iter(await self._database.snapshot([query for at in times for query in self._about(at, sample)]))
        return [
            HourOfJobs(
                at=at,
                by_status={status: next(rows)[0][0] for status in JobStatus},
                durations=self._durations(next(rows)),
            )
            for at in times
        ]

    def _about(self, at: datetime, sample: int) -> list[Query]:
        id_in = self._codec.id_in
        within = {"since": id_in(first_id(at)), "before": id_in(first_id(at + HOUR))}
        newest = NEWEST.format(condition="job_id >= :since AND job_id < :before")
        counts: list[Query] = [(COUNT, within | {"status": status.value}) for status in JobStatus]
        return [*counts, (newest, within | {"limit": sample})]

    def _durations(self, rows: list[Row]) -> list[timedelta]:
        time_out = self._codec.time_out
        return [time_out(completed) - time_out(created) for created, completed in rows]
