"""The table of insights, and how they become rows and come back. Does not know who reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from feilun.records import JSON
from feilun.store.insights.nouns import Insight
from feilun.store.schema import METADATA, Json, Words

INSIGHTS = sa.Table(
    "insights",
    METADATA,
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("id", Words, primary_key=True),
    *(sa.Column(name, Words, nullable=False) for name in ("name", "question")),
    sa.Column("terms", Json, nullable=False),
    sa.Column("proposal", Words, nullable=False),
    sa.Column("evidence", Json, nullable=False),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("share", sa.Double, nullable=False),
    *(sa.Column(name, Json, nullable=False) for name in ("reasons", "rated", "trend")),
    sa.Column("status", Words, nullable=False),
    *(sa.Column(name, Json, nullable=False) for name in ("outcome", "live")),
    *(sa.Column(name, sa.Double, nullable=False) for name in ("created", "updated")),
    sa.Index("insights_by_status", "workspace", "status", "created", "id"),
)


def to_insight(row: Mapping[str, Any]) -> Insight:
    """Return the insight that a row holds."""
    values: JSON = {field.name: row[field.name] for field in fields(Insight)}
    return Insight(**{**values, "terms": tuple(row["terms"]), "evidence": tuple(row["evidence"])})
