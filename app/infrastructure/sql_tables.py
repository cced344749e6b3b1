"""The tables of the audit database, and the column types that read the same on SQLite and PostgreSQL.

For migrations only: statements are written by hand from `sql_columns`, and no serving process loads this."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import types
from sqlmodel import Field, SQLModel

from app.domain import audit
from app.domain.models import Json
from app.infrastructure.sql_columns import (
    BY_CLIENT,
    BY_END,
    BY_KEY,
    BY_OUTCOME,
    BY_SUBJECT,
    BY_TIME,
    ERASABLE,
    HELD,
    HELD_BY,
    IN_LINE,
    INDEXES,
    OPEN_BY_CLIENT,
    OUTCOME,
    QUEUED_BY,
    REMOVABLE,
    UNFINISHED,
    from_micros,
    to_micros,
)


class Instant(types.TypeDecorator[datetime]):
    """A zone-aware time, to the microsecond: a number on SQLite, timestamptz on PostgreSQL."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.BigInteger() if dialect.name == "sqlite" else sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        return to_micros(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return from_micros(value) if dialect.name == "sqlite" else value.astimezone(UTC)


class Id(types.TypeDecorator[UUID]):
    """A job's id: its usual text of 36 characters on SQLite, so that a person can search for it; uuid on PostgreSQL."""

    impl = sa.CHAR(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> types.TypeEngine[Any]:
        return dialect.type_descriptor(sa.CHAR(36) if dialect.name == "sqlite" else sa.Uuid())

    def process_bind_param(self, value: UUID | None, dialect: sa.Dialect) -> Any:
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> UUID | None:
        return UUID(value) if value is not None and dialect.name == "sqlite" else value


class CanonicalJson(types.TypeDecorator[Json]):
    """JSON as the text that is hashed: keys sorted, no spaces."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Json, dialect: sa.Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else audit.canonical(value).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Json:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else cast("Json", json.loads(value))


class Table(SQLModel):
    """What all tables share: one metadata, whose names of constraints are the same on both databases."""

    metadata: ClassVar[sa.MetaData] = sa.MetaData(
        naming_convention={"pk": "pk_%(table_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s"}
    )


def _index(name: str, *columns: str, where: str | None = None, unique: bool = False) -> sa.Index:
    condition = sa.text(where) if where else None
    return sa.Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


class JobLog(Table, table=True):
    """One row per job: its newest version. Large columns stand last, so that the others are read without them."""

    __tablename__: ClassVar[str] = "job_log"
    __table_args__: ClassVar[tuple[Any, ...]] = (
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'waiting', 'success', 'failure', 'cancelled')", name="status"
        ),
        sa.CheckConstraint("(due_at IS NULL) = (status IN ('success', 'failure', 'cancelled'))", name="due_at"),
        _index("uq_job_log_idempotency", "client", "idempotency_key", where="idempotency_key IS NOT NULL", unique=True),
        _index(BY_KEY, "dedup_key", where=f"dedup_key IS NOT NULL AND {UNFINISHED}", unique=True),
        _index("uq_job_log_retry", "retry_of", where=f"retry_of IS NOT NULL AND {UNFINISHED}", unique=True),
        *(
            _index(name, *(HELD_BY if condition == HELD else QUEUED_BY), where=condition)
            for condition, name in INDEXES.items()
        ),
        _index(OPEN_BY_CLIENT, "client", where=UNFINISHED),
        _index(BY_CLIENT, "client", "created_at", "size"),
        _index(BY_SUBJECT, "workflow", "subject", "job_id", where=IN_LINE),
        _index(BY_OUTCOME, "dedup_key", "status", "completed_at", where=OUTCOME),
        _index(BY_END, "completed_at", where=ERASABLE),
        _index("ix_job_log_removable", "completed_at", where=REMOVABLE),
        _index("ix_job_log_status", "status", "job_id"),
        _index("ix_job_log_workflow", "workflow", "job_id"),
        _index("ix_job_log_workflow_status", "workflow", "status", "job_id"),
    )

    job_id: UUID = Field(sa_type=Id, primary_key=True)
    client: str = Field(sa_type=sa.Text)
    workflow: str = Field(sa_type=sa.Text)
    status: str = Field(sa_type=sa.Text)
    version: int
    attempt: int
    lost_leases: int
    notes: int
    filename: str | None = Field(sa_type=sa.Text)
    size: int | None = Field(sa_type=sa.BigInteger)
    sha256: str | None = Field(sa_type=sa.Text)
    media_type: str | None = Field(sa_type=sa.Text)
    subject: str | None = Field(sa_type=sa.Text)
    dedup_key: str | None = Field(sa_type=sa.Text)
    idempotency_key: str | None = Field(sa_type=sa.Text)
    fingerprint: str | None = Field(sa_type=sa.Text)
    created_at: datetime = Field(sa_type=Instant)
    started_at: datetime | None = Field(sa_type=Instant)
    delivered_at: datetime | None = Field(sa_type=Instant)
    completed_at: datetime | None = Field(sa_type=Instant)
    due_at: datetime | None = Field(sa_type=Instant)
    file_removed_at: datetime | None = Field(sa_type=Instant)
    progress_millis: int | None
    step: int | None = Field(sa_type=sa.BigInteger)
    steps: int | None = Field(sa_type=sa.BigInteger)
    trouble_kind: str | None = Field(sa_type=sa.Text)
    trouble_since: datetime | None = Field(sa_type=Instant)
    trouble_count: int | None
    error_type: str | None = Field(sa_type=sa.Text)
    execution_id: str | None = Field(sa_type=sa.Text)
    retry_of: UUID | None = Field(sa_type=Id)
    salt: str | None = Field(sa_type=sa.Text)
    head: str = Field(sa_type=sa.Text)
    progress_message: str | None = Field(sa_type=sa.Text)
    result_message: str | None = Field(sa_type=sa.Text)
    notion_page_url: str | None = Field(sa_type=sa.Text)
    error_detail: str | None = Field(sa_type=sa.Text)
    params: Any = Field(sa_column=sa.Column(CanonicalJson, nullable=False))
    result: Any = Field(sa_column=sa.Column(CanonicalJson))


class AuditEvent(Table, table=True):
    """One row per line of history. Triggers refuse to change or remove one."""

    __tablename__: ClassVar[str] = "audit_event"
    __table_args__: ClassVar[tuple[Any, ...]] = (_index(BY_TIME, "at"),)

    job_id: UUID = Field(sa_type=Id, primary_key=True)
    version: int = Field(primary_key=True)
    at: datetime = Field(sa_type=Instant)
    type: str = Field(sa_type=sa.Text)
    before: str | None = Field(sa_type=sa.Text)
    after: str = Field(sa_type=sa.Text)
    facts: Any = Field(sa_column=sa.Column(CanonicalJson, nullable=False))
    commitment: str | None = Field(sa_type=sa.Text)
    prev_hash: str = Field(sa_type=sa.Text)
    hash: str = Field(sa_type=sa.Text)


class AuditDetail(Table, table=True):
    """The erasable part of a line."""

    __tablename__: ClassVar[str] = "audit_detail"

    job_id: UUID = Field(sa_type=Id, primary_key=True)
    version: int = Field(primary_key=True)
    body: Any = Field(sa_column=sa.Column(CanonicalJson, nullable=False))


class Notice(Table, table=True):
    """That a job ended, still to be told to the operator's address."""

    __tablename__: ClassVar[str] = "notice"
    __table_args__: ClassVar[tuple[Any, ...]] = (_index("ix_notice_due", "due_at"),)

    job_id: UUID = Field(sa_type=Id, primary_key=True)
    version: int = Field(primary_key=True)
    due_at: datetime = Field(sa_type=Instant)
    tries: int


class HttpCache(Table, table=True):
    """What was kept of a far side's answer. No job needs it: it may be emptied at any time."""

    __tablename__: ClassVar[str] = "http_cache"
    __table_args__: ClassVar[tuple[Any, ...]] = (_index("ix_http_cache_at", "at", "size"),)

    key: str = Field(sa_type=sa.Text, primary_key=True)
    at: datetime = Field(sa_type=Instant)
    size: int
    etag: str | None = Field(sa_type=sa.Text)
    next: str | None = Field(sa_type=sa.Text)
    body: str = Field(sa_type=sa.Text)


class StepOutput(Table, table=True):
    """What a finished step of a local job made."""

    __tablename__: ClassVar[str] = "step_output"

    job_id: UUID = Field(sa_type=Id, primary_key=True)
    step: int = Field(primary_key=True)
    name: str = Field(sa_type=sa.Text)
    seconds: float = Field(sa_type=sa.Double)
    tokens_in: int = Field(sa_type=sa.BigInteger)
    tokens_out: int = Field(sa_type=sa.BigInteger)
    cost: float | None = Field(sa_type=sa.Double)
    output: Any = Field(sa_column=sa.Column(CanonicalJson, nullable=False))


class JoinedKey(Table, table=True):
    """The idempotency key of a submission that joined a job which somebody else had begun."""

    __tablename__: ClassVar[str] = "joined_key"
    __table_args__: ClassVar[tuple[Any, ...]] = (_index("ix_joined_key_job", "job_id"),)

    client: str = Field(sa_type=sa.Text, primary_key=True)
    idempotency_key: str = Field(sa_type=sa.Text, primary_key=True)
    fingerprint: str | None = Field(sa_type=sa.Text)
    job_id: UUID = Field(sa_type=Id)


class Schedule(Table, table=True):
    """Work that the calendar hands in."""

    __tablename__: ClassVar[str] = "schedule"
    __table_args__: ClassVar[tuple[Any, ...]] = (_index("ix_schedule_due", "due_at", where="due_at IS NOT NULL"),)

    schedule_id: UUID = Field(sa_type=Id, primary_key=True)
    client: str = Field(sa_type=sa.Text)
    cron: str = Field(sa_type=sa.Text)
    timezone: str = Field(sa_type=sa.Text)
    workflow: str = Field(sa_type=sa.Text)
    params: Any = Field(sa_column=sa.Column(CanonicalJson, nullable=False))
    created_at: datetime = Field(sa_type=Instant)
    due_at: datetime | None = Field(sa_type=Instant)
    version: int
    fired_at: datetime | None = Field(sa_type=Instant)
    job_id: UUID | None = Field(sa_type=Id)
    problem: str | None = Field(sa_type=sa.Text)
