"""What is kept of far sides' answers. May be emptied at any time."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_27_2"
down_revision = "2026_11_27_1"
branch_labels = None
depends_on = None

TIME = sa.BigInteger().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "http_cache",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("etag", sa.Text()),
        sa.Column("next", sa.Text()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_http_cache"),
    )
    op.create_index("ix_http_cache_at", "http_cache", ["at", "size"])


def downgrade() -> None:
    """Removes it."""
    op.drop_table("http_cache")
