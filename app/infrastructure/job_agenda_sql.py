"""Which jobs are due, by SQLite or PostgreSQL: one partial index for each kind of waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from app.domain.models import Job, JobId
from app.infrastructure import sql_subjects
from app.infrastructure.sql_columns import AGAIN, BY_END, ERASABLE, HELD, INDEXES, NEW
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_rows import SELECT_JOB, Values, job_from
from app.infrastructure.sql_writer import Batch, Change, Outcome

AT_ONCE = 100  # parts of one statement; SQLite takes up to 500
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

    async def due(self, at: datetime, limit: int, workflows: Collection[str]) -> list[JobId]:
        most = dict.fromkeys(workflows, limit)
        return _the_longest_due(
            await self._found(self._selects(HELD, most), {"at": self._codec.time_in(at)}), limit, most
        )

    async def startable(
        self,
        at: datetime,
        limit: int,
        rooms: Mapping[str, int],
        *,
        new_before: datetime | None,
        without: Collection[JobId] = (),
        places: Mapping[str, int] | None = None,
    ) -> list[JobId]:
        enough = {name: min(room, limit) + len(without) for name, room in rooms.items()}
        selects, values = self._selects(AGAIN, enough), {"at": self._codec.time_in(at)}
        if new_before is not None:
            # Where `new_before` is long ago, a backlog need not be looked through: new jobs are due since they were made.
            selects += self._selects(NEW, enough, f"AND due_at <= :new_before AND {self._may_begin}")
            values |= {"new_before": self._codec.time_in(new_before), **self._counted(places or {})}
        found = await self._found(selects, values)
        return _the_longest_due([row for row in found if row.job_id not in without], limit, rooms)

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
        return f"created_at < :new_before AND {sql_subjects.may_begin(self._database.engine)}"

    def _counted(self, places: Mapping[str, int]) -> Values:
        return {"places": self._database.engine.numbers(places), "most": sql_subjects.most(places)}

    def _selects(self, kind: str, most: Mapping[str, int], more: str = "") -> list[_Select]:
        """For the longest due of each workflow by itself: no backlog of one is read to find the others'."""
        index = self._database.engine.by(INDEXES[kind])
        where = f"{kind} AND workflow = :workflow_NUMBER AND due_at <= :at {more}"
        sql = f"SELECT workflow, due_at, job_id FROM job_log{index} WHERE {where} ORDER BY due_at LIMIT :limit_NUMBER"  # noqa: S608 - our own names
        return [(sql, workflow, limit) for workflow, limit in most.items()]

    async def _found(self, selects: Sequence[_Select], values: Values) -> list[_Due]:
        queries = []
        for part in (selects[start : start + AT_ONCE] for start in range(0, len(selects), AT_ONCE)):
            texts, own = [], dict(values)
            for number, (sql, workflow, limit) in enumerate(part):
                texts.append(f"SELECT * FROM ({sql.replace('NUMBER', str(number))}) AS part_{number}")  # noqa: S608 - as above
                own |= {f"workflow_{number}": workflow, f"limit_{number}": limit}
            queries.append((" UNION ALL ".join(texts), own))
        parts = await self._database.snapshot(queries) if queries else []
        id_out = self._codec.id_out
        return [_Due(due_at, workflow, JobId(id_out(job_id))) for rows in parts for workflow, due_at, job_id in rows]


_Select: TypeAlias = tuple[str, str, int]  # a statement, its workflow, its limit


class _Due(NamedTuple):
    due_at: Any
    workflow: str
    job_id: JobId


def _the_longest_due(found: list[_Due], limit: int, rooms: Mapping[str, int]) -> list[JobId]:
    left = dict(rooms)
    job_ids: list[JobId] = []
    for row in sorted(found):
        if left[row.workflow] > 0 and len(job_ids) < limit:
            left[row.workflow] -= 1
            job_ids.append(row.job_id)
    return job_ids
