"""An index of each client's jobs by their time, for quotas."""

from alembic import op

revision = "2026_11_27_7"
down_revision = "2026_11_27_6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it."""
    op.create_index("ix_job_log_usage", "job_log", ["client", "created_at", "size"])


def downgrade() -> None:
    """Removes it."""
    op.drop_index("ix_job_log_usage", "job_log")
