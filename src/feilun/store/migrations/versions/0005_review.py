"""The review queue: rows that wait for people, and what they decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "review_items",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *_texts("queue", "kind", "scale", "status", "row", "sources", "why", "options"),
        sa.Column("needed", sa.BigInteger, nullable=False),
        sa.Column("measures", sa.Boolean, nullable=False),
        *_texts("gold", "suggestion", "result"),
        sa.Column("created", sa.Double, nullable=False),
    )
    waiting = ["workspace", "measures", "status", "created", "id"]
    op.create_index("review_items_waiting", "review_items", waiting)
    op.create_index("review_items_by_time", "review_items", ["workspace", "created", "id"])
    op.create_table(
        "review_annotations",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("workspace", "item", "annotator")),
        *_texts("state"),
        sa.Column("until", sa.Double, nullable=False),
        *_texts("action", "value", "reason"),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("suggested", sa.Boolean, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["workspace", "item"], ["review_items.workspace", "review_items.id"]),
    )
    by_annotator = ["workspace", "annotator", "state"]
    op.create_index("review_annotations_by_annotator", "review_annotations", by_annotator)


def _texts(*names: str) -> tuple[sa.Column[str], ...]:
    return tuple(sa.Column(name, sa.Text, nullable=False) for name in names)
