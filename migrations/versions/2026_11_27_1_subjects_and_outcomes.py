"""Indexes for the rules of workflows: the line of each subject, and the newest outcome of each dedup key."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_27_1"
down_revision = "2026_11_23_1"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_job_log_subject": (["workflow", "subject", "job_id"], "subject IS NOT NULL AND due_at IS NOT NULL"),
    "ix_job_log_outcome": (
        ["dedup_key", "status", "completed_at"],
        "dedup_key IS NOT NULL AND completed_at IS NOT NULL",
    ),
}


def upgrade() -> None:
    """Adds them."""
    for name, (columns, condition) in INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "job_log", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Removes them."""
    for name in INDEXES:
        op.drop_index(name, "job_log")
