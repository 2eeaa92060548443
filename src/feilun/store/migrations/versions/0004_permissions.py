"""Permissions that are inherited, and the audit log.

What a source was told becomes what differs from what holds where nobody says anything: the rest is inherited.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
_PLAIN = {"train": True, "retrieve": True, "leave": False, "mask": "none", "until": None}
_SOURCES = sa.table("sources", *(sa.column(name, sa.Text) for name in ("workspace", "id", "permissions")))


def upgrade() -> None:
    """Widen workspaces and sources, create the tables of the log."""
    op.add_column("workspaces", sa.Column("permissions", sa.Text, nullable=False, server_default="{}"))
    op.add_column("sources", sa.Column("inherited", sa.Text, nullable=False, server_default="{}"))
    conn = op.get_bind()
    for row in conn.execute(sa.select(_SOURCES)).all():
        said = {name: value for name, value in json.loads(row.permissions).items() if value != _PLAIN.get(name)}
        where = sa.and_(_SOURCES.c.workspace == row.workspace, _SOURCES.c.id == row.id)
        conn.execute(sa.update(_SOURCES).where(where).values(permissions=json.dumps(said)))
    workspace = sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True)
    op.create_table(
        "audit",
        workspace,
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("actor", "action", "object", "details", "hash")),
    )
    op.create_index("audit_by_object", "audit", ["workspace", "object"])
    op.create_table(
        "audit_heads",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
