"""Notices of ended jobs, in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.models import JobId, Notice
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_rows import Values
from app.infrastructure.sql_writer import Batch, Change, Outcome

SELECT_DUE = "SELECT job_id, version, due_at, tries FROM notice WHERE due_at <= :at ORDER BY due_at, job_id, version LIMIT :limit"
TAKE = (
    "UPDATE notice SET due_at = :until, tries = tries + 1"
    " WHERE job_id = :job_id AND version = :version AND tries = :tries AND due_at = :due_at"
)
PUT_OFF = "UPDATE notice SET due_at = :until WHERE job_id = :job_id AND version = :version AND tries = :tries + 1"
DONE = "DELETE FROM notice WHERE job_id = :job_id AND version = :version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Take(Change):
    """A notice that somebody wants to tell. Gives back whether it was still there to be taken."""

    job_id: JobId
    values: Values

    @staticmethod
    def apply(batch: Batch, run: Sequence[Take]) -> list[Outcome]:
        batch.flush()  # the notice may have come into being in this very batch
        return [bool(count) for count in batch.many(TAKE, [take.values for take in run])]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff(Change):
    """A notice that is to be told later than was thought when it was taken."""

    job_id: JobId
    values: Values

    @staticmethod
    def apply(batch: Batch, run: Sequence[PutOff]) -> list[Outcome]:
        batch.flush()
        batch.many(PUT_OFF, [one.values for one in run])
        return [None] * len(run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Change):
    """A notice that was told."""

    job_id: JobId
    values: Values

    @staticmethod
    def apply(batch: Batch, run: Sequence[Done]) -> list[Outcome]:
        batch.flush()
        batch.many(DONE, [done.values for done in run])
        return [None] * len(run)


class SqlNoticeBox:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._codec = database.codec

    async def due(self, at: datetime, limit: int) -> list[Notice]:
        rows = await self._database.rows(SELECT_DUE, {"at": self._codec.time_in(at), "limit": limit})
        return [
            Notice(
                job_id=JobId(self._codec.id_out(job_id)),
                version=version,
                due_at=self._codec.time_out(due_at),
                tries=tries,
            )
            for job_id, version, due_at, tries in rows
        ]

    async def take(self, notice: Notice, until: datetime) -> bool:
        values = self._named(notice) | {
            "tries": notice.tries,
            "due_at": self._codec.time_in(notice.due_at),
            "until": self._codec.time_in(until),
        }
        return bool(await self._database.write(Take(job_id=notice.job_id, values=values)))

    async def put_off(self, notice: Notice, until: datetime) -> None:
        values = self._named(notice) | {"tries": notice.tries, "until": self._codec.time_in(until)}
        await self._database.write(PutOff(job_id=notice.job_id, values=values))

    async def done(self, notice: Notice) -> None:
        await self._database.write(Done(job_id=notice.job_id, values=self._named(notice)))

    def _named(self, notice: Notice) -> Values:
        return {"job_id": self._codec.id_in(notice.job_id), "version": notice.version}
