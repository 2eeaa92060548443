"""Insights: clusters of calls that went wrong, and what people made of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "insights",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("name", "question", "terms", "proposal", "evidence"),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        *_texts("reasons", "rated", "trend", "status", "outcome", "live"),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("created", "updated")),
    )
    op.create_index("insights_by_status", "insights", ["workspace", "status", "created", "id"])


def _texts(*names: str) -> tuple[sa.Column[str], ...]:
    return tuple(sa.Column(name, sa.Text, nullable=False) for name in names)
