"""The lines of all jobs in the order of their times, by SQLite or PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app.domain.record_ports import Written
from app.infrastructure.sql_columns import BY_TIME
from app.infrastructure.sql_database import SqlDatabase

_COLUMNS = "at, job_id, version"


class SqlTimeline:
    def __init__(self, database: SqlDatabase) -> None:
        self._database, self._codec = database, database.codec

    async def written(self, since: datetime, limit: int, after: Written | None = None) -> list[Written]:
        values = {"since": self._codec.time_in(since), "limit": limit}
        behind = ""
        if after:
            behind = f"AND ({_COLUMNS}) > (:since, :job_id, :version)"
            values |= {
                "since": self._codec.time_in(after.at),
                "job_id": self._codec.id_in(UUID(after.job_id)),
                "version": after.version,
            }
        rows = await self._database.rows(
            f"SELECT {_COLUMNS}, hash FROM audit_event{self._database.engine.by(BY_TIME)}"  # noqa: S608 - from here
            f" WHERE at >= :since {behind} ORDER BY {_COLUMNS} LIMIT :limit",
            values,
        )
        out = self._codec.time_out
        return [Written(out(at), str(job_id), version, digest) for at, job_id, version, digest in rows]
