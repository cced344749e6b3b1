"""What is written about jobs, as changes of the group-commit writer: a new job, its next version, its erasure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import DuplicateJob, JobNotFound, OverQuota, StaleJob, StoreUnavailable, SubjectFull
from app.domain.models import JobId
from app.domain.quotas import Allowance, Usage
from app.infrastructure import sql_keys, sql_subjects, sql_usage
from app.infrastructure.sql_columns import JOB_COLUMNS, LINE_COLUMNS, OUTCOME, UNFINISHED
from app.infrastructure.sql_inserts import Insert, as_json
from app.infrastructure.sql_libpq import Direct
from app.infrastructure.sql_rows import CHANGING_COLUMNS, ERASED_COLUMNS, Values
from app.infrastructure.sql_writer import Batch, Change, Outcome


def _update(columns: Sequence[str]) -> str:
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    return f"UPDATE job_log SET {changes} WHERE job_id = :job_id AND version = :version - 1"  # noqa: S608 - as above


INSERT_JOB = (
    f"INSERT INTO job_log ({', '.join(JOB_COLUMNS)}) SELECT {', '.join(f':{name}' for name in JOB_COLUMNS)}"
    f" WHERE NOT {sql_keys.JOINED} ON CONFLICT DO NOTHING"
)
JOBS, LINES = Insert("job_log", JOB_COLUMNS), Insert("audit_event", LINE_COLUMNS)
DETAILS = Insert("audit_detail", ("job_id", "version", "body"))
NOTICES = Insert("notice", ("job_id", "version", "due_at", "tries"))
UPDATE_JOB = _update(CHANGING_COLUMNS)
ERASE_JOB = _update(ERASED_COLUMNS)
# On PostgreSQL, new jobs with their first lines and details in one statement, which tells the ids of those that were added.
_FREE, _ADDED = f"NOT {sql_keys.joined_by('new')}", "job_id IN (SELECT job_id FROM added)"
INSERT_ALL = (
    f"WITH added AS ({JOBS.many(1, _FREE)} ON CONFLICT DO NOTHING RETURNING job_id),"  # noqa: S608 - our own names
    f" lines AS ({LINES.many(2, _ADDED)}), details AS ({DETAILS.many(3, _ADDED)}) SELECT job_id FROM added"
)
MADE_SINCE = (
    f"SELECT job_id FROM job_log WHERE {OUTCOME} AND dedup_key = :dedup_key AND status = 'success'"  # noqa: S608 - as above
    " AND completed_at > :made_since ORDER BY completed_at DESC LIMIT 1"
)

# Which job holds what a new one wants, in the order in which it is told.
_HOLDER = "SELECT job_id, NULL FROM job_log WHERE "
HOLDERS = (
    ("this id is taken", "job_id", f"{_HOLDER} job_id = :job_id"),
    ("the idempotency key is taken", "idempotency_key", sql_keys.HOLDER),
    ("an unfinished job does the same", "dedup_key", f"{_HOLDER} dedup_key = :dedup_key AND {UNFINISHED}"),
    ("an unfinished job is a retry of the same", "retry_of", f"{_HOLDER} retry_of = :retry_of AND {UNFINISHED}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line(Change):
    """A job's next version and its audit line, as rows."""

    job_id: JobId
    job: Values
    line: Values
    detail: Values | None
    notice: Values | None = None

    def append(self, batch: Batch) -> None:
        batch.later(LINES, self.line)
        if self.detail:
            batch.later(DETAILS, self.detail)
        if self.notice:
            batch.later(NOTICES, self.notice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(_Line):
    """A job's first version; `within`: if it fits into what its client may use."""

    within: Allowance | None = None

    @property
    def turn(self) -> int | None:
        if self.within:
            return sql_usage.turn(self.job["client"])
        key = self.job["idempotency_key"]
        return None if key is None else sql_keys.turn(self.job["client"], key)

    @staticmethod
    def apply(batch: Batch, run: Sequence[Add]) -> list[Outcome]:
        if any(add.within or add.may_join for add in run):  # what one leaves behind counts for the next
            return [add.fitted(batch) for add in run]
        if batch.direct:
            added = all_added(batch.direct, run)
            return [None if str(add.job_id) in added else add.outcome(batch, inserted=False) for add in run]
        counts = batch.many(INSERT_JOB, [add.job for add in run])
        return [add.outcome(batch, inserted=bool(count)) for add, count in zip(run, counts, strict=True)]

    @property
    def may_join(self) -> bool:
        """Whether its idempotency key may become another job's."""
        return self.job["dedup_key"] is not None and self.job["idempotency_key"] is not None

    def fitted(self, batch: Batch) -> Outcome:
        if self.within and self.within.quotas.exceeded(self.usage(batch, self.within), self.job["size"] or 0):
            return self.holder(batch) or OverQuota("the client's quota is used up")  # one that exists is not one more
        return self.outcome(batch, inserted=False)

    def usage(self, batch: Batch, within: Allowance) -> Usage:
        return sql_usage.read(batch.rows(*sql_usage.query(batch.engine, self.job["client"], within.quotas, within.at)))

    def outcome(self, batch: Batch, *, inserted: bool) -> Outcome:
        for _ in range(3):
            if inserted:
                self.append(batch)
                return None
            holder = self.holder(batch)
            if holder:
                return holder
            # The holder ended between the two statements, or was erased: the key is free again.
            inserted = bool(batch.many(INSERT_JOB, [self.job])[0])
        return StoreUnavailable("the job's key changes hands too often")

    def holder(self, batch: Batch) -> DuplicateJob | None:
        for words, column, query in HOLDERS:
            if self.job[column] is None:
                continue
            names = {name: self.job[name] for name in ("job_id", "client", column) if f":{name}" in query}
            for held, fingerprint in batch.rows(query, names):
                if column == "dedup_key" and not self.joins(batch, held):
                    return None
                return DuplicateJob(words, batch.engine.codec.id_out(held), fingerprint)
        return None

    def joins(self, batch: Batch, held: object) -> bool:
        """Keeps this submission's key for the job that answers it; False where that has just been erased."""
        if self.job["idempotency_key"] is None:
            return True
        names = {name: self.job[name] for name in ("client", "idempotency_key", "fingerprint")}
        return bool(batch.many(sql_keys.join(batch.engine), [names | {"job_id": held}])[0])


def all_added(direct: Direct, run: Sequence[Add]) -> set[str]:
    """Writes these jobs with their lines, all but those of which somebody holds what they want; the ids of the written."""
    details = [add.detail for add in run if add.detail]
    rows = ([add.job for add in run], [add.line for add in run], details)
    return set(direct.column(INSERT_ALL, [as_json(one) for one in rows]))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddUnlessMade(Add):
    """A job's first version, unless its outcome has been made since `job["made_since"]`."""

    @staticmethod
    def apply(batch: Batch, run: Sequence[Add]) -> list[Outcome]:
        return [add.fitted(batch) for add in run]

    def outcome(self, batch: Batch, *, inserted: bool) -> Outcome:
        # Only after the insert is it certain that the job which made it has ended, and so can be seen to have.
        for _ in range(3):
            batch.do("SAVEPOINT made")
            inserted = bool(batch.many(INSERT_JOB, [self.job])[0])
            made = batch.rows(MADE_SINCE, self.job) if inserted else []
            batch.do("ROLLBACK TO SAVEPOINT made" if made else "RELEASE SAVEPOINT made")
            if made and self.joins(batch, made[0][0]):
                return DuplicateJob("the outcome has been made", batch.engine.codec.id_out(made[0][0]))
            if made:
                continue
            if inserted:
                self.append(batch)
                return None
            if holder := self.holder(batch):
                return holder
        return StoreUnavailable("the job's key changes hands too often")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(_Line):
    """A job's next version."""

    @staticmethod
    def apply(batch: Batch, run: Sequence[Record]) -> list[Outcome]:
        counts = batch.many(UPDATE_JOB, [record.job for record in run])
        return [record.outcome(batch, updated=bool(count)) for record, count in zip(run, counts, strict=True)]

    def outcome(self, batch: Batch, *, updated: bool) -> Outcome:
        if updated:
            self.append(batch)
            return None
        if batch.rows("SELECT 1 FROM job_log WHERE job_id = :job_id", {"job_id": self.job["job_id"]}):
            return StaleJob(f"version {self.job['version']} does not follow the stored one")
        return JobNotFound(f"there is no job {self.job_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin(Record):
    """A job's next version, with which it takes a place of its subject. `job` tells `places` and `most`, too."""

    @property
    def turn(self) -> int:
        return sql_subjects.turn(self.job["workflow"], self.job["subject"])

    @staticmethod
    def apply(batch: Batch, run: Sequence[Record]) -> list[Outcome]:
        ahead = sql_subjects.ahead(batch.engine, ":workflow", ":subject", ":job_id")
        counts = batch.many(f"{UPDATE_JOB} AND {ahead} < :places", [begin.job for begin in run])
        return [begin.outcome(batch, updated=bool(count)) for begin, count in zip(run, counts, strict=True)]

    def outcome(self, batch: Batch, *, updated: bool) -> Outcome:
        before = "SELECT 1 FROM job_log WHERE job_id = :job_id AND version = :version"
        names = {"job_id": self.job["job_id"], "version": self.job["version"] - 1}
        if not updated and batch.rows(before, names):
            return SubjectFull("other jobs about the same are under way or older")
        return Record.outcome(self, batch, updated=updated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erase(Record):
    """A job's next version, with which everything personal goes."""

    @staticmethod
    def apply(batch: Batch, run: Sequence[Record]) -> list[Outcome]:
        batch.flush()  # else details of this very batch would be written after the deletion
        counts = batch.many(ERASE_JOB, [record.job for record in run])
        gone = [{"job_id": one.job["job_id"]} for one, count in zip(run, counts, strict=True) if count]
        for table in ("audit_detail", "step_output", "joined_key"):
            batch.many(f"DELETE FROM {table} WHERE job_id = :job_id", gone)  # noqa: S608 - from this line
        batch.scrub = True
        return [record.outcome(batch, updated=bool(count)) for record, count in zip(run, counts, strict=True)]
