"""The first schema: events, and who looked at them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "events",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("camera", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("best", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("box", sa.JSON),
        sa.Column("path", sa.JSON, nullable=False),
        sa.Column("track", sa.BigInteger),
        sa.Column("zones", sa.JSON, nullable=False),
        sa.Column("thumbnail", sa.Text),
        sa.Column("clip", sa.Text),
        sa.Column("bytes", sa.BigInteger, nullable=False, server_default="0"),
    )
    for column in ("started", "ended"):
        op.create_index(f"events_{column}", "events", [column])
    op.create_table(
        "audits",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
    )
    op.create_index("audits_time", "audits", ["time"])
