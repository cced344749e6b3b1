"""Schedules: work that the calendar hands in."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_27_5"
down_revision = "2026_11_27_4"
branch_labels = None
depends_on = None

TIME = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")
ID = sa.CHAR(36).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "schedule",
        sa.Column("schedule_id", ID, nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fired_at", TIME),
        sa.Column("job_id", ID),
        sa.Column("problem", sa.Text()),
        sa.PrimaryKeyConstraint("schedule_id", name="pk_schedule"),
    )
    where = sa.text("due_at IS NOT NULL")
    op.create_index("ix_schedule_due", "schedule", ["due_at"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Removes it, every schedule included."""
    op.drop_table("schedule")
