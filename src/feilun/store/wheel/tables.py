"""The tables of the wheel. Knows columns; does not know what turns."""

from __future__ import annotations

import sqlalchemy as sa

from feilun.store.schema import METADATA, Json, Words

WHEELS = sa.Table(
    "wheels",
    METADATA,
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("on", sa.Boolean, nullable=False),
    sa.Column("rules", Json, nullable=False),
    sa.Column("state", Json, nullable=False),
)
SPINS = sa.Table(
    "wheel_turns",
    METADATA,
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("id", Words, primary_key=True),
    sa.Column("why", Json, nullable=False),
    sa.Column("before", Json, nullable=False),
    sa.Column("status", Words, nullable=False),
    sa.Column("outcome", Json, nullable=False),
    sa.Column("began", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    sa.Index("wheel_turns_by_time", "workspace", "began", "id"),
)
