"""Promotions in stages: what an endpoint tries on a share of its calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "rollouts",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("endpoint", "model", "incumbent", "deployment", "verdict", "status"),
        sa.Column("share", sa.Double, nullable=False),
        *_texts("rules", "evidence", "history"),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_index("rollouts_by_status", "rollouts", ["status"])
    op.create_index("rollouts_by_endpoint", "rollouts", ["workspace", "endpoint", "created"])


def _texts(*names: str) -> tuple[sa.Column[str], ...]:
    return tuple(sa.Column(name, sa.Text, nullable=False) for name in names)
