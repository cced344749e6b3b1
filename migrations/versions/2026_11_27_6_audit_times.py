"""An index on the times of audit lines, by which checkpoints find what was written since the last one."""

from alembic import op

revision = "2026_11_27_6"
down_revision = "2026_11_27_5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes it."""
    op.create_index("ix_audit_event_at", "audit_event", ["at"])


def downgrade() -> None:
    """Removes it."""
    op.drop_index("ix_audit_event_at", "audit_event")
