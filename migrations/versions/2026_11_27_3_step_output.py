"""What the finished steps of local jobs made."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_27_3"
down_revision = "2026_11_27_2"
branch_labels = None
depends_on = None

ID = sa.CHAR(36).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "step_output",
        sa.Column("job_id", ID, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Double()),
        sa.Column("output", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "step", name="pk_step_output"),
    )


def downgrade() -> None:
    """Removes it; unfinished local jobs then begin anew."""
    op.drop_table("step_output")
