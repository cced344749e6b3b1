"""An index of the ended jobs that were not erased, by their end, for retention."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_27_4"
down_revision = "2026_11_27_3"
branch_labels = None
depends_on = None

NAME = "ix_job_log_erasable"
WHERE = sa.text("completed_at IS NOT NULL AND salt IS NOT NULL")


def upgrade() -> None:
    """Adds it."""
    op.create_index(NAME, "job_log", ["completed_at"], sqlite_where=WHERE, postgresql_where=WHERE)


def downgrade() -> None:
    """Removes it."""
    op.drop_index(NAME, "job_log")
