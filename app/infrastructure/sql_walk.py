"""Reading whole histories for verification: pages of jobs, rows and lines as of one moment, whatever was done to them.

Somebody who writes to the database can store what no service would: everything is looked at with suspicion here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from app.domain import audit
from app.domain.audit import StoredLine
from app.domain.models import Job, JobId
from app.domain.verification import StoredHistory, Stray
from app.infrastructure.sql_columns import JOB_COLUMNS, LINE_COLUMNS
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_rows import SELECT_JOB, Row, Values, job_from

PAGE_LINES, PAGE_JOBS = 4000, 1000
WORTH_CUTTING = 50_000
NO_JOB = JobId(UUID(int=0))
UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, OverflowError)


def bound(lines: int, jobs: int) -> str:
    """A query for the id up to which a page goes: it bounds lines, rows and details, whichever there are most of."""
    ends = " UNION ALL ".join(
        f"SELECT * FROM (SELECT job_id FROM {table} WHERE {{where}} ORDER BY job_id LIMIT 1 OFFSET {count}) AS {table}_end"  # noqa: S608 - names from here
        for table, count in (("audit_event", lines), ("audit_detail", lines), ("job_log", jobs))
    )
    return f"SELECT job_id FROM ({ends}) AS ends ORDER BY job_id LIMIT 1"  # noqa: S608 - as above


_BOUND = bound(PAGE_LINES, PAGE_JOBS)
_CUT = "SELECT job_id FROM audit_event ORDER BY job_id LIMIT 1 OFFSET :before"
_ROWS = f"{SELECT_JOB} WHERE {{where}}"
_LINES = f"SELECT {', '.join(LINE_COLUMNS)} FROM audit_event WHERE {{where}} ORDER BY job_id, version"  # noqa: S608 - as above
_DETAILS = "SELECT job_id, version, body FROM audit_detail WHERE {where}"

# Where the first column is empty, the others say nothing, and nobody would see them changed.
_TOGETHER = tuple(
    (JOB_COLUMNS.index(leader), tuple(map(JOB_COLUMNS.index, others)))
    for leader, others in (
        ("size", ("filename", "sha256", "media_type")),
        ("trouble_kind", ("trouble_since", "trouble_count")),
        ("error_type", ("error_detail",)),
    )
)
_WHOLE_NUMBERS = tuple(map(JOB_COLUMNS.index, ("version", "attempt", "lost_leases", "notes")))


async def walk_one(database: SqlDatabase, job_id: JobId) -> AsyncIterator[StoredHistory]:
    """One job, if there is anything of it."""
    for history in await _page(database, "job_id = :first", {"first": database.codec.id_in(job_id)}):
        yield history


async def walk(database: SqlDatabase, after: JobId | None, to: JobId | None) -> AsyncIterator[StoredHistory]:
    """Jobs in pages of a bounded number of lines and one job's more. What the ids are compared as is the database's
    own order, so that ranges which follow each other leave nothing out, whatever stands there as an id."""
    values: Values = {"first": None if after is None else database.codec.id_in(after)}
    values["end"] = None if to is None else database.codec.id_in(to)
    end = "1 = 1" if to is None else "job_id <= :end"
    begin = "1 = 1" if after is None else "job_id > :first"
    while found := await database.rows(_BOUND.format(where=f"{begin} AND {end}"), values):
        (last,) = found[0]
        for history in await _page(database, f"{begin} AND job_id <= :last", {**values, "last": last}):
            yield history
        begin, values = "job_id > :first", {**values, "first": last}
    for history in await _page(database, f"{begin} AND {end}", values):
        yield history


async def cuts(database: SqlDatabase, parts: int) -> list[JobId]:
    """Ids that cut the history into so many parts with about as many lines each; none where it is small."""
    ((count,),) = await database.rows("SELECT count(*) FROM audit_event", {})
    if count < WORTH_CUTTING:
        return []
    found = []
    for part in range(1, parts):
        (row,) = await database.rows(_CUT, {"before": count * part // parts})
        try:
            found.append(JobId(database.codec.id_out(row[0])))
        except UNREADABLE:
            continue
    return found


async def _page(database: SqlDatabase, where: str, values: Values) -> Iterator[StoredHistory]:
    queries = [(text.format(where=where), values) for text in (_ROWS, _LINES, _DETAILS)]
    return _Page(database, *await database.snapshot(queries)).histories()


class _Page:
    """Rows, lines and details of some jobs, brought together by the id that stands in each."""

    def __init__(
        self, database: SqlDatabase, rows: Sequence[Row], lines: Sequence[Row], details: Sequence[Row]
    ) -> None:
        self._codec = database.codec
        self._stamp = stamp_micros if database.engine.name == "sqlite" else audit.timestamp
        self._rows = {row[0]: row for row in rows}
        self._lines: dict[Any, list[Row]] = defaultdict(list)
        for line in lines:
            self._lines[line[0]].append(line)
        self._details: dict[Any, dict[Any, Any]] = defaultdict(dict)
        for job_id, version, body in details:
            self._details[job_id][version] = body

    def histories(self) -> Iterator[StoredHistory]:
        """One for each id, in the order of the ids."""
        for value in sorted(self._rows.keys() | self._lines.keys() | self._details.keys(), key=str):
            try:
                job_id = JobId(self._codec.id_out(value))
            except UNREADABLE:
                stray = Stray("moved", "lines, a row or details stand under an id that is none")
                yield StoredHistory(NO_JOB, None, [], [stray])
                continue
            details, name = self._details.get(value, {}), str(job_id)
            lines = [self._line(line, name, details) for line in self._lines.get(value, ())]
            job, strays = self._job(self._rows.get(value))
            if details:  # the lines have taken theirs
                strays.append(Stray("detail changed", "a detail stands where no line is"))
            yield StoredHistory(job_id, job, lines, strays)

    def _line(self, row: Row, job_id: str, details: dict[Any, Any]) -> StoredLine:
        _, version, at, kind, before, after, facts, commitment, prev_hash, digest = row
        try:
            moment = self._stamp(at)
        except UNREADABLE:
            moment = "unreadable"
        detail = details.pop(version, None)
        told = detail if detail is None else str(detail)
        return StoredLine(job_id, version, moment, kind, before, after, facts, commitment, prev_hash, digest, told)

    def _job(self, row: Row | None) -> tuple[Job | None, list[Stray]]:
        if row is None:
            return None, []
        try:
            return job_from(row, self._codec), [Stray("row changed", words) for words in _idle(row)]
        except UNREADABLE:
            return None, [Stray("row changed", "the row holds what no row can hold")]


def _idle(row: Row) -> Iterator[str]:
    """What is wrong with a row, although the job that is read from it looks right."""
    for leader, others in _TOGETHER:
        if row[leader] is None and any(row[other] is not None for other in others):
            yield f"{JOB_COLUMNS[leader]} is empty, and what belongs to it is not"
    if not all(isinstance(row[number], int) for number in _WHOLE_NUMBERS):
        yield "a count is no whole number"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]


def stamp_micros(micros: int) -> str:
    """`audit.timestamp` of microseconds since 1970."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{_second(seconds)}.{rest:06}Z"
