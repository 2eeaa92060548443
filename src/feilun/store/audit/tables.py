"""The tables of the audit log. Knows columns; does not know what an entry's hash covers."""

from __future__ import annotations

import sqlalchemy as sa

from feilun.store.schema import METADATA, Json, Words


def _words(name: str) -> sa.Column[str]:
    return sa.Column(name, Words, nullable=False)


AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Double, nullable=False),
    *(_words("actor"), _words("action"), _words("object"), sa.Column("details", Json, nullable=False), _words("hash")),
    sa.Index("audit_by_object", "workspace", "object"),
)
HEADS = sa.Table(
    "audit_heads",
    METADATA,
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    _words("hash"),
)
