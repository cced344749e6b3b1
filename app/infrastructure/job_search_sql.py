"""Pages, counts and other looks at many jobs, in SQLite or PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from app.domain.models import Job, JobId, JobStatus, first_id
from app.domain.protocols import ANY_TIME, LOOKED_THROUGH, Between, JobCounts, JobPage, Mark, Standing
from app.infrastructure.page_cursor import cursor_of, read_cursor
from app.infrastructure.sql_columns import (
    AGAIN,
    BY_KEY,
    BY_OUTCOME,
    HELD,
    INDEXES,
    NEW,
    OUTCOME,
    REMOVABLE,
    UNFINISHED,
)
from app.infrastructure.sql_database import Query, SqlDatabase
from app.infrastructure.sql_rows import SELECT_JOB, Row, Values, job_from

BY_WORKFLOW = "SELECT workflow, status, count(*) FROM job_log GROUP BY workflow, status"
OVERDUE = (
    "SELECT count(*) FROM job_log WHERE workflow = :workflow AND status = 'waiting' AND delivered_at <= :delivered_at"
)
SEARCHED = ("filename", "subject", "execution_id", "result_message", "error_detail")
_ID_BEGINNING = re.compile(r"[0-9a-f-]{4,36}")


class SqlJobSearch:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._codec = database.codec

    async def page(
        self,
        *,
        status: JobStatus | None = None,
        workflow: str | None = None,
        text: str = "",
        handed_in: Between = ANY_TIME,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        conditions, values = self._conditions(status, workflow, handed_in, cursor)
        if not text:
            return self._page(await self._newest(conditions, values, limit), limit)
        begins = _id_range(text)
        if begins is not None:
            values |= {"first": self._codec.id_in(begins[0]), "last": self._codec.id_in(begins[1])}
            named = await self._newest([*conditions, "job_id BETWEEN :first AND :last"], values, limit)
            if named:
                return self._page(named, limit)
        return await self._with_text(text, conditions, values, limit)

    async def _newest(self, conditions: list[str], values: Values, limit: int) -> list[Row]:
        sql = f"{SELECT_JOB}{_where(conditions)} ORDER BY job_id DESC LIMIT :limit"
        return await self._database.rows(sql, values | {"limit": limit + 1}, quick=True)

    async def _with_text(self, text: str, conditions: list[str], values: Values, limit: int) -> JobPage:
        like = self._database.engine.like
        found = " OR ".join(f"{column} {like} :text ESCAPE '!'" for column in SEARCHED)
        looked = (
            f"SELECT job_id, {', '.join(SEARCHED)} FROM job_log{_where(conditions)} ORDER BY job_id DESC LIMIT :most"  # noqa: S608 - our own names
        )
        ids = f"SELECT job_id FROM ({looked}) AS looked WHERE {found} ORDER BY job_id DESC LIMIT :limit"  # noqa: S608 - our own names
        last = f"SELECT job_id FROM job_log{_where(conditions)} ORDER BY job_id DESC LIMIT 2 OFFSET :most - 1"  # noqa: S608 - our own names
        values |= {"text": f"%{_plainly(text)}%", "most": LOOKED_THROUGH, "limit": limit + 1}
        jobs, last_looked = await self._database.snapshot(
            [(f"{SELECT_JOB} WHERE job_id IN ({ids}) ORDER BY job_id DESC", values), (last, values)]
        )
        page = self._page(jobs, limit)
        if page.next is None and len(last_looked) > 1:
            return JobPage(jobs=page.jobs, next=cursor_of(JobId(self._codec.id_out(last_looked[0][0]))))
        return page

    def _page(self, rows: list[Row], limit: int) -> JobPage:
        jobs = [job_from(row, self._codec) for row in rows[:limit]]
        return JobPage(jobs=jobs, next=cursor_of(jobs[-1].job_id) if len(rows) > limit else None)

    def _conditions(
        self, status: JobStatus | None, workflow: str | None, handed_in: Between, cursor: str | None
    ) -> tuple[list[str], Values]:
        id_in = self._codec.id_in
        bounds: dict[str, tuple[str, Any]] = {}
        if status is not None:
            bounds["status"] = "status = :status", status.value
        if workflow is not None:
            bounds["workflow"] = "workflow = :workflow", workflow
        if handed_in.since is not None:
            bounds["since"] = "job_id >= :since", id_in(first_id(handed_in.since))
        if handed_in.before is not None:
            bounds["until"] = "job_id < :until", id_in(first_id(handed_in.before))
        if cursor is not None:
            bounds["before"] = "job_id < :before", id_in(read_cursor(cursor))
        return [sql for sql, _ in bounds.values()], {name: value for name, (_, value) in bounds.items()}

    async def counts(self, overdue_before: Mapping[str, datetime]) -> JobCounts:
        queries: list[Query] = [(BY_WORKFLOW, {}), *map(self._longest_due, (NEW, AGAIN, HELD))]
        for workflow, at in overdue_before.items():
            queries.append((OVERDUE, {"workflow": workflow, "delivered_at": self._codec.time_in(at)}))
        by_workflow, new, again, held, *overdue = await self._database.snapshot(queries)
        queued = self._first([*new, *again])
        return JobCounts(
            by_workflow={(workflow, JobStatus(status)): count for workflow, status, count in by_workflow},
            oldest_queued_at=queued,
            oldest_due_at=self._first([*new, *again, *held]),
            overdue=sum(rows[0][0] for rows in overdue),
        )

    async def versions(self, job_ids: Collection[JobId]) -> dict[JobId, int]:
        ids = self._database.engine.many(map(self._codec.id_in, job_ids))
        known = self._database.engine.among("job_id", "ids")
        sql = f"SELECT job_id, version FROM job_log WHERE {known}"  # noqa: S608 - our own condition
        rows = await self._database.rows(sql, {"ids": ids}, quick=True)
        return {JobId(self._codec.id_out(job_id)): version for job_id, version in rows}

    async def standing(self, dedup_key: str) -> Standing:
        rows = await self._database.rows(self._standing, {"key": dedup_key}, quick=True)
        found = {status: (JobId(self._codec.id_out(job_id)), version, at) for status, job_id, version, at in rows}

        def mark(status: str) -> Mark | None:
            job_id, version, at = found.get(status, (None, 0, None))
            return None if job_id is None else Mark(job_id=job_id, version=version, at=self._codec.time_out(at))

        unfinished = found.get("unfinished")
        return Standing(
            success=mark("success"), failure=mark("failure"), unfinished=unfinished[0] if unfinished else None
        )

    @cached_property
    def _standing(self) -> str:
        by = self._database.engine.by

        def newest(status: str) -> str:
            return (
                f"SELECT * FROM (SELECT '{status}' AS status, job_id, version, completed_at"  # noqa: S608 - our own names
                f" FROM job_log{by(BY_OUTCOME)} WHERE {OUTCOME} AND dedup_key = :key AND status = '{status}'"
                f" ORDER BY completed_at DESC LIMIT 1) AS {status}"
            )

        unfinished = (
            "SELECT 'unfinished' AS status, job_id, version, completed_at"  # noqa: S608 - as above
            f" FROM job_log{by(BY_KEY)} WHERE dedup_key = :key AND {UNFINISHED}"
        )
        return " UNION ALL ".join([newest("success"), newest("failure"), unfinished])

    async def removable(self, ended_before: datetime, limit: int) -> list[Job]:
        sql = f"{SELECT_JOB} WHERE {REMOVABLE} AND completed_at < :ended_before ORDER BY completed_at LIMIT :limit"
        values = {"ended_before": self._codec.time_in(ended_before), "limit": limit}
        return [job_from(row, self._codec) for row in await self._database.rows(sql, values)]

    def _longest_due(self, kind: str) -> Query:
        # From workflow to workflow along the index, however many jobs each has.
        rows = f"FROM job_log{self._database.engine.by(INDEXES[kind])} WHERE {kind}"
        sql = (
            f"WITH RECURSIVE one (name) AS (SELECT min(workflow) {rows} UNION ALL"  # noqa: S608 - our own
            f" SELECT (SELECT min(workflow) {rows} AND workflow > one.name) FROM one WHERE one.name IS NOT NULL)"
            f" SELECT min((SELECT min(due_at) {rows} AND workflow = one.name)) FROM one"
        )
        return sql, {}

    def _first(self, rows: list[Row]) -> datetime | None:
        return min((self._codec.time_out(value) for (value,) in rows if value is not None), default=None)


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _plainly(text: str) -> str:
    """The text without a meaning of its own in a LIKE."""
    for character in "!%_":
        text = text.replace(character, f"!{character}")
    return text.replace("\x00", "")


def _id_range(text: str) -> tuple[UUID, UUID] | None:
    """The first and the last id that begins so; None where none can."""
    begun = text.lower()
    if not _ID_BEGINNING.fullmatch(begun) or begun != _as_id(begun.replace("-", ""))[: len(begun)]:
        return None
    digits = begun.replace("-", "")
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _as_id(digits: str) -> str:
    return str(UUID(digits.ljust(32, "0")))
