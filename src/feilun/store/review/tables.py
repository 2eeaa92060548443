"""The tables of the review queue, and how its nouns become rows and come back. Does not know who reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from feilun.records import JSON
from feilun.store.access import sealing
from feilun.store.review.nouns import Annotation, Decision, ReviewItem, Suggestion
from feilun.store.schema import METADATA, Json, Words, clean

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


_SECRET = ("row", "gold", "suggestion", "result")
_SEALED = "sealed"


def item_row(item: ReviewItem, root: Path) -> JSON:
    """Return the column values of an item; what a sealed one says is encrypted with the master key of ``root``."""
    names = [column.name for column in ITEMS.columns if column.name != "measures"]
    values = {name: getattr(item, name) for name in names} | {"measures": item.gold is not None}
    return values | (secret(values, root) if item.sealed else {})


def secret(values: Mapping[str, Any], root: Path) -> JSON:
    """Return those of the values of an item that are encrypted where it is sealed, encrypted; None stays None."""
    found = {name: values[name] for name in _SECRET if values.get(name) is not None}
    return {name: sealing.seal(root, _text(value)) for name, value in found.items()}


def to_item(row: Mapping[str, Any], root: Path) -> ReviewItem:
    """Return the item that a row holds."""
    values = {name: value for name, value in row.items() if name != "measures"}
    sealed = isinstance(values["row"], str)
    if sealed:
        values |= {name: json.loads(sealing.unseal(root, values[name])) for name in _SECRET if values[name]}
    values |= {name: tuple(row[name]) for name in ("sources", "options")}
    gold, given = values["gold"], values["suggestion"]
    values["gold"] = Decision(**gold) if gold else None
    values["suggestion"] = Suggestion(Decision(**given["decision"]), given["by"]) if given else None
    return ReviewItem(**values, sealed=sealed)


def annotation_row(ws: str, one: Annotation, root: Path | None = None) -> JSON:
    """Return the column values of an annotation, with what it says encrypted if there is a ``root``."""
    values = asdict(one)
    decision = values.pop("decision") or {"action": "", "value": ""}
    values |= {"workspace": ws, **decision}
    if root is None:
        return values
    said = {name: values[name] for name in ("action", "value", "reason")}
    return values | {"action": _SEALED, "value": sealing.seal(root, _text(said)), "reason": ""}


def to_annotation(row: Mapping[str, Any], root: Path) -> Annotation:
    """Return the annotation that a row holds."""
    if row["action"] == _SEALED:
        row = {**row, **json.loads(sealing.unseal(root, row["value"]))}
    values = {name: value for name, value in row.items() if name not in {"workspace", "action", "value"}}
    decision = Decision(row["action"], row["value"]) if row["action"] else None
    return Annotation(**values, decision=decision)


def _text(value: Any) -> str:
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(clean(plain), ensure_ascii=False)
