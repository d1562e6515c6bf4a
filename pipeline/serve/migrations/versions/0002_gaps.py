"""Times in which cameras gave no pictures, and until when each was watched."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "gaps",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("camera", sa.Text, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
    )
    for column in ("started", "ended"):
        op.create_index(f"gaps_{column}", "gaps", [column])
    op.create_table(
        "watched",
        sa.Column("camera", sa.Text, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
