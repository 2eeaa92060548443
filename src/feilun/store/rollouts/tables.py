"""The table of rollouts. Knows columns; does not know what a share does."""

from __future__ import annotations

import sqlalchemy as sa

from feilun.store.schema import METADATA, Json, Words

ROLLOUTS = sa.Table(
    "rollouts",
    METADATA,
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("id", Words, primary_key=True),
    *(sa.Column(name, Words, nullable=False) for name in ("endpoint", "model", "incumbent", "deployment", "verdict")),
    sa.Column("status", Words, nullable=False),
    sa.Column("share", sa.Double, nullable=False),
    *(sa.Column(name, Json, nullable=False) for name in ("rules", "evidence", "history")),
    sa.Column("created", sa.Double, nullable=False),
    sa.Index("rollouts_by_status", "status"),
    sa.Index("rollouts_by_endpoint", "workspace", "endpoint", "created"),
)
