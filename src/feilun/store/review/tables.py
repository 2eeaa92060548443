"""The tables of the review queue, and how its nouns become rows and come back. Does not know who reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from feilun.records import JSON
from feilun.store.review.nouns import Annotation, Decision, ReviewItem, Suggestion
from feilun.store.schema import METADATA, Json, Words

ITEMS = sa.Table(
    "review_items",
    METADATA,
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("id", Words, primary_key=True),
    *(sa.Column(name, Words, nullable=False) for name in ("queue", "kind", "scale", "status")),
    *(sa.Column(name, Json, nullable=False) for name in ("row", "sources", "why", "options")),
    sa.Column("needed", sa.BigInteger, nullable=False),
    sa.Column("measures", sa.Boolean, nullable=False),
    *(sa.Column(name, Json, nullable=False) for name in ("gold", "suggestion", "result")),
    sa.Column("created", sa.Double, nullable=False),
    sa.Index("review_items_waiting", "workspace", "measures", "status", "created", "id"),
    sa.Index("review_items_by_time", "workspace", "created", "id"),
)
ANNOTATIONS = sa.Table(
    "review_annotations",
    METADATA,
    *(sa.Column(name, Words, primary_key=True) for name in ("workspace", "item", "annotator")),
    sa.Column("state", Words, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    *(sa.Column(name, Words, nullable=False) for name in ("action", "value", "reason")),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("suggested", sa.Boolean, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.ForeignKeyConstraint(["workspace", "item"], ["review_items.workspace", "review_items.id"]),
    sa.Index("review_annotations_by_annotator", "workspace", "annotator", "state"),
)


def item_row(item: ReviewItem) -> JSON:
    """Return the column values of an item."""
    names = [column.name for column in ITEMS.columns if column.name != "measures"]
    return {name: getattr(item, name) for name in names} | {"measures": item.gold is not None}


def to_item(row: Mapping[str, Any]) -> ReviewItem:
    """Return the item that a row holds."""
    values = {name: value for name, value in row.items() if name != "measures"}
    values |= {name: tuple(row[name]) for name in ("sources", "options")}
    values["gold"] = Decision(**row["gold"]) if row["gold"] else None
    given = row["suggestion"]
    values["suggestion"] = Suggestion(Decision(**given["decision"]), given["by"]) if given else None
    return ReviewItem(**values)


def annotation_row(ws: str, one: Annotation) -> JSON:
    """Return the column values of an annotation."""
    values = asdict(one)
    decision = values.pop("decision") or {"action": "", "value": ""}
    return {"workspace": ws, **values, **decision}


def to_annotation(row: Mapping[str, Any]) -> Annotation:
    """Return the annotation that a row holds."""
    values = {name: value for name, value in row.items() if name not in {"workspace", "action", "value"}}
    decision = Decision(row["action"], row["value"]) if row["action"] else None
    return Annotation(**values, decision=decision)
