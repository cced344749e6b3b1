"""Idempotency keys of submissions that joined a job of somebody else's."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_27_8"
down_revision = "2026_11_27_7"
branch_labels = None
depends_on = None

ID = sa.CHAR(36).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    """Adds their table."""
    op.create_table(
        "joined_key",
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("job_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("client", "idempotency_key", name="pk_joined_key"),
    )
    op.create_index("ix_joined_key_job", "joined_key", ["job_id"])


def downgrade() -> None:
    """Removes it."""
    op.drop_table("joined_key")
