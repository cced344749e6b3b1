"""What is due is found workflow by workflow, and what is held without reading its rows."""

from alembic import op
from sqlalchemy import text

revision = "2026_11_27_9"
down_revision = "2026_11_27_8"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_job_log_held": (["workflow", "due_at", "status", "job_id"], "status IN ('processing', 'waiting')"),
    "ix_job_log_new": (["workflow", "due_at"], "status = 'queued' AND attempt = 0"),
    "ix_job_log_again": (["workflow", "due_at"], "status = 'queued' AND attempt > 0"),
}


def upgrade() -> None:
    """Puts new indexes in the place of the old."""
    for name, (columns, where) in INDEXES.items():
        op.drop_index(name, "job_log")
        op.create_index(name, "job_log", columns, sqlite_where=text(where), postgresql_where=text(where))


def downgrade() -> None:
    """Puts the old ones back."""
    for name, (_, where) in INDEXES.items():
        op.drop_index(name, "job_log")
        op.create_index(name, "job_log", ["due_at"], sqlite_where=text(where), postgresql_where=text(where))
