"""What clients have used of their quotas, in SQLite or PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from app.domain.quotas import Quota, Quotas, Unit, Usage
from app.infrastructure import sql_keys, sql_usage
from app.infrastructure.sql_columns import BY_CLIENT
from app.infrastructure.sql_database import SqlDatabase


class SqlUsageMeter:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def usage(self, client: str, quotas: Quotas, at: datetime) -> Usage:
        return sql_usage.read(await self._database.rows(*sql_usage.query(self._database.engine, client, quotas, at)))

    async def last_of(self, client: str, quota: Quota, at: datetime, wanted: int) -> datetime | None:
        codec, index = self._database.codec, self._database.engine.by(BY_CLIENT)
        each = "coalesce(size, 0)" if quota.unit is Unit.BYTES else "1"
        sql = (
            f"SELECT min(created_at) FROM (SELECT created_at, sum({each}) OVER (ORDER BY created_at) AS freed"  # noqa: S608 - our own names
            f" FROM job_log{index} WHERE client = :client AND created_at > :since) AS oldest"
            " WHERE freed >= :wanted"
        )
        values = {"client": client, "since": codec.time_in(quota.since(at)), "wanted": wanted}
        rows = await self._database.rows(sql, values)
        return codec.moment(rows[0][0])

    async def knows(self, client: str, idempotency_key: str) -> bool:
        return bool(await self._database.rows(sql_keys.HOLDER, {"client": client, "idempotency_key": idempotency_key}))
