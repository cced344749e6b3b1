"""Schedules, in SQLite or PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.errors import ScheduleNotFound
from app.domain.models import JobId
from app.domain.schedules import Schedule
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_rows import Codec, Row, Values, json_in
from app.infrastructure.sql_writer import Batch, Change, Outcome

COLUMNS = (
    *("schedule_id", "client", "cron", "timezone", "workflow", "params", "created_at"),
    *("due_at", "version", "fired_at", "job_id", "problem"),
)
NAMES = ", ".join(COLUMNS)
SELECT = f"SELECT {NAMES} FROM schedule"  # noqa: S608 - names from this file
INSERT = f"INSERT INTO schedule ({NAMES}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})"  # noqa: S608 - as above
UPDATE = (
    "UPDATE schedule SET due_at = :due_at, version = :version, fired_at = :fired_at, job_id = :job_id,"
    " problem = :problem WHERE schedule_id = :schedule_id AND version = :version - 1"
)
DELETE = "DELETE FROM schedule WHERE schedule_id = :schedule_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Change):
    """One statement about one schedule. Gives back whether it changed a row. `job_id` is the schedule's own id: it
    orders writes as all processes order them."""

    job_id: JobId
    statement: str
    values: Values

    @staticmethod
    def apply(batch: Batch, run: Sequence[Written]) -> list[Outcome]:
        return [bool(batch.many(one.statement, [one.values])[0]) for one in run]


class SqlScheduleBook:
    def __init__(self, database: SqlDatabase) -> None:
        self._database, self._codec = database, database.codec

    async def add(self, schedule: Schedule) -> None:
        await self._write(INSERT, schedule.schedule_id, _values(schedule, self._codec))

    async def get(self, schedule_id: UUID) -> Schedule:
        named = {"schedule_id": self._codec.id_in(schedule_id)}
        rows = await self._database.rows(f"{SELECT} WHERE schedule_id = :schedule_id", named)
        if not rows:
            raise ScheduleNotFound("no schedule has this id")
        return _schedule(rows[0], self._codec)

    async def all(self) -> list[Schedule]:
        rows = await self._database.rows(f"{SELECT} ORDER BY created_at, schedule_id", {})
        return [_schedule(row, self._codec) for row in rows]

    async def due(self, at: datetime, limit: int) -> list[Schedule]:
        asked = {"at": self._codec.time_in(at), "limit": limit}
        sql = f"{SELECT} WHERE due_at <= :at ORDER BY due_at, schedule_id LIMIT :limit"
        return [_schedule(row, self._codec) for row in await self._database.rows(sql, asked)]

    async def change(self, schedule: Schedule) -> bool:
        values = _values(schedule, self._codec)
        changing = {name: values[name] for name in ("schedule_id", *COLUMNS[7:])}
        return await self._write(UPDATE, schedule.schedule_id, changing)

    async def remove(self, schedule_id: UUID) -> None:
        if not await self._write(DELETE, schedule_id, {"schedule_id": self._codec.id_in(schedule_id)}):
            raise ScheduleNotFound("no schedule has this id")

    async def _write(self, statement: str, schedule_id: UUID, values: Values) -> bool:
        return bool(await self._database.write(Written(job_id=JobId(schedule_id), statement=statement, values=values)))


def _values(schedule: Schedule, codec: Codec) -> Values:
    return {
        "schedule_id": codec.id_in(schedule.schedule_id),
        "client": schedule.client,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "workflow": schedule.workflow,
        "params": json_in(schedule.params),
        "created_at": codec.time_in(schedule.created_at),
        "due_at": codec.time(schedule.due_at),
        "version": schedule.version,
        "fired_at": codec.time(schedule.fired_at),
        "job_id": codec.id_in(schedule.job_id) if schedule.job_id else None,
        "problem": schedule.problem,
    }


def _schedule(row: Row, codec: Codec) -> Schedule:
    found = dict(zip(COLUMNS, row, strict=True))
    return Schedule(
        schedule_id=codec.id_out(found["schedule_id"]),
        client=found["client"],
        cron=found["cron"],
        timezone=found["timezone"],
        workflow=found["workflow"],
        params=json.loads(found["params"]),
        created_at=codec.time_out(found["created_at"]),
        due_at=codec.moment(found["due_at"]),
        version=found["version"],
        fired_at=codec.moment(found["fired_at"]),
        job_id=JobId(codec.id_out(found["job_id"])) if found["job_id"] else None,
        problem=found["problem"],
    )
