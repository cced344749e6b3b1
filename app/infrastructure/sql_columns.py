"""The names, conditions and forms that statements use. `sql_tables`, which declares the tables, is for migrations only:
SQLModel and SQLAlchemy's mapper are a fifth of what a start would load."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

UNFINISHED = "due_at IS NOT NULL"  # the CHECK makes this the same as: neither success, failure nor cancelled
HELD = "status IN ('processing', 'waiting')"
NEW = "status = 'queued' AND attempt = 0"
AGAIN = "status = 'queued' AND attempt > 0"
INDEXES = {HELD: "ix_job_log_held", NEW: "ix_job_log_new", AGAIN: "ix_job_log_again"}  # each by due_at
HELD_BY, QUEUED_BY = ("workflow", "due_at", "status", "job_id"), ("workflow", "due_at")  # the first answers by itself
IN_LINE = "subject IS NOT NULL AND due_at IS NOT NULL"
OUTCOME = "dedup_key IS NOT NULL AND completed_at IS NOT NULL"
BY_SUBJECT, BY_OUTCOME, BY_KEY = "ix_job_log_subject", "ix_job_log_outcome", "uq_job_log_dedup"
ERASABLE = "completed_at IS NOT NULL AND salt IS NOT NULL"
BY_END = "ix_job_log_erasable"
BY_TIME = "ix_audit_event_at"
OPEN_BY_CLIENT, BY_CLIENT = "ix_job_log_client", "ix_job_log_usage"
REMOVABLE = "completed_at IS NOT NULL AND size IS NOT NULL AND file_removed_at IS NULL"


def to_micros(at: datetime) -> int:
    """Microseconds since 1970: what SQLite stores for a time."""
    return (at - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Back from `to_micros`, in UTC."""
    return EPOCH + timedelta(microseconds=micros)


# In the order of the table.
# fmt: off
JOB_COLUMNS = (
    "job_id", "client", "workflow", "status", "version", "attempt", "lost_leases",
    "notes", "filename", "size", "sha256", "media_type", "subject", "dedup_key",
    "idempotency_key", "fingerprint", "created_at", "started_at", "delivered_at", "completed_at", "due_at",
    "file_removed_at", "progress_millis", "step", "steps", "trouble_kind", "trouble_since", "trouble_count",
    "error_type", "execution_id", "retry_of", "salt", "head", "progress_message", "result_message",
    "notion_page_url", "error_detail", "params", "result",
)
# fmt: on
LINE_COLUMNS = ("job_id", "version", "at", "type", "before", "after", "facts", "commitment", "prev_hash", "hash")
