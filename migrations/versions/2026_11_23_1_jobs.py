"""Jobs, their history, its erasable details, and notices."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_1"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")
ID = sa.CHAR(36).with_variant(sa.Uuid(), "postgresql")
UNFINISHED = "due_at IS NOT NULL"

JOB_INDEXES = {
    "ix_job_log_held": (["due_at"], "status IN ('processing', 'waiting')"),
    "ix_job_log_new": (["due_at"], "status = 'queued' AND attempt = 0"),
    "ix_job_log_again": (["due_at"], "status = 'queued' AND attempt > 0"),
    "ix_job_log_client": (["client"], UNFINISHED),
    "ix_job_log_removable": (
        ["completed_at"],
        "completed_at IS NOT NULL AND size IS NOT NULL AND file_removed_at IS NULL",
    ),
    "ix_job_log_status": (["status", "job_id"], None),
    "ix_job_log_workflow": (["workflow", "job_id"], None),
    "ix_job_log_workflow_status": (["workflow", "status", "job_id"], None),
    "uq_job_log_idempotency": (["client", "idempotency_key"], "idempotency_key IS NOT NULL"),
    "uq_job_log_dedup": (["dedup_key"], f"dedup_key IS NOT NULL AND {UNFINISHED}"),
    "uq_job_log_retry": (["retry_of"], f"retry_of IS NOT NULL AND {UNFINISHED}"),
}

SQLITE_TRIGGERS = (
    (
        "CREATE TRIGGER audit_event_keeps BEFORE UPDATE ON audit_event"
        " BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END"
    ),
    (
        "CREATE TRIGGER audit_event_stays BEFORE DELETE ON audit_event"
        " BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END"
    ),
    "CREATE TRIGGER job_log_stays BEFORE DELETE ON job_log BEGIN SELECT RAISE(ABORT, 'a job is never deleted'); END",
    (
        "CREATE TRIGGER job_log_final BEFORE UPDATE OF status ON job_log"
        " WHEN (OLD.status IN ('success', 'cancelled') AND NEW.status <> OLD.status)"
        " OR (OLD.status = 'failure' AND NEW.status NOT IN ('failure', 'success'))"
        " BEGIN SELECT RAISE(ABORT, 'the job has ended'); END"
    ),
)

POSTGRESQL_TRIGGERS = (
    (
        "CREATE FUNCTION callslip_refuse() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE EXCEPTION USING MESSAGE = TG_ARGV[0]; END $$"
    ),
    (
        "CREATE TRIGGER audit_event_keeps BEFORE UPDATE OR DELETE ON audit_event"
        " FOR EACH ROW EXECUTE FUNCTION callslip_refuse('audit_event is append-only')"
    ),
    (
        "CREATE TRIGGER audit_event_stays BEFORE TRUNCATE ON audit_event"
        " FOR EACH STATEMENT EXECUTE FUNCTION callslip_refuse('audit_event is append-only')"
    ),
    (
        "CREATE TRIGGER job_log_stays BEFORE DELETE ON job_log"
        " FOR EACH ROW EXECUTE FUNCTION callslip_refuse('a job is never deleted')"
    ),
    (
        "CREATE TRIGGER job_log_remains BEFORE TRUNCATE ON job_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION callslip_refuse('a job is never deleted')"
    ),
    (
        "CREATE TRIGGER job_log_final BEFORE UPDATE OF status ON job_log FOR EACH ROW"
        " WHEN ((OLD.status IN ('success', 'cancelled') AND NEW.status <> OLD.status)"
        " OR (OLD.status = 'failure' AND NEW.status NOT IN ('failure', 'success')))"
        " EXECUTE FUNCTION callslip_refuse('the job has ended')"
    ),
)


def upgrade() -> None:
    """Makes everything."""
    _job_log()
    for name, (columns, condition) in JOB_INDEXES.items():
        where = sa.text(condition) if condition else None
        unique = name.startswith("uq_")
        op.create_index(name, "job_log", columns, unique=unique, sqlite_where=where, postgresql_where=where)
    _audit()
    op.create_table(
        "notice",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "version", name="pk_notice"),
    )
    op.create_index("ix_notice_due", "notice", ["due_at"])
    for statement in SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_TRIGGERS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Removes everything, jobs included."""
    for table in ("notice", "audit_detail", "audit_event", "job_log"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION callslip_refuse()")


def _job_log() -> None:
    op.create_table(
        "job_log",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost_leases", sa.Integer(), nullable=False),
        sa.Column("notes", sa.Integer(), nullable=False),
        sa.Column("filename", sa.Text()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("sha256", sa.Text()),
        sa.Column("media_type", sa.Text()),
        sa.Column("subject", sa.Text()),
        sa.Column("dedup_key", sa.Text()),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("delivered_at", TIME),
        sa.Column("completed_at", TIME),
        sa.Column("due_at", TIME),
        sa.Column("file_removed_at", TIME),
        sa.Column("progress_millis", sa.Integer()),
        sa.Column("step", sa.BigInteger()),
        sa.Column("steps", sa.BigInteger()),
        sa.Column("trouble_kind", sa.Text()),
        sa.Column("trouble_since", TIME),
        sa.Column("trouble_count", sa.Integer()),
        sa.Column("error_type", sa.Text()),
        sa.Column("execution_id", sa.Text()),
        sa.Column("retry_of", ID),
        sa.Column("salt", sa.Text()),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("progress_message", sa.Text()),
        sa.Column("result_message", sa.Text()),
        sa.Column("notion_page_url", sa.Text()),
        sa.Column("error_detail", sa.Text()),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("result", sa.Text()),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_log"),
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'waiting', 'success', 'failure', 'cancelled')",
            name=op.f("ck_job_log_status"),
        ),
        sa.CheckConstraint(
            "(due_at IS NULL) = (status IN ('success', 'failure', 'cancelled'))", name=op.f("ck_job_log_due_at")
        ),
    )


def _audit() -> None:
    op.create_table(
        "audit_event",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("commitment", sa.Text()),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "version", name="pk_audit_event"),
    )
    op.create_table(
        "audit_detail",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "version", name="pk_audit_detail"),
    )
