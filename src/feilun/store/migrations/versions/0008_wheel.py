"""The wheel by itself: its rules, and what it did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "wheels",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True),
        sa.Column("on", sa.Boolean, nullable=False),
        *_texts("rules", "state"),
    )
    op.create_table(
        "wheel_turns",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("why", "before", "status", "outcome"),
        sa.Column("began", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
    )
    op.create_index("wheel_turns_by_time", "wheel_turns", ["workspace", "began", "id"])


def _texts(*names: str) -> tuple[sa.Column[str], ...]:
    return tuple(sa.Column(name, sa.Text, nullable=False) for name in names)
