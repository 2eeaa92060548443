"""Members, providers, endpoints, limits, usage and stored responses; what keys and traces know besides.

The edges of traces were written twice; they stand in the traces now.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0002"
down_revision = "0001"
_COUNT = """
INSERT INTO usage (workspace, member, "key", endpoint, model, kind, "day",
    calls, prompt_tokens, completion_tokens, cached_tokens, cost, seconds)
SELECT workspace, member, "key", endpoint, model, kind, "day",
    count(*), sum(prompt_tokens), sum(completion_tokens), 0, 0, sum(seconds)
FROM traces GROUP BY workspace, member, "key", endpoint, model, kind, "day"
"""


def upgrade() -> None:
    """Widen keys and traces, create the new tables, and count the usage of the traces that are there."""
    for column in (_text("member", ""), sa.Column("expires", sa.Double), _text("scopes", "[]")):
        op.add_column("keys", column)
    for column in (
        *(_text("member", ""), _text("kind", "chat"), _bigint("cost", "0"), _double("first", "0")),
        *(_bigint("cached_tokens", "0"), _text("meta", "{}"), _text("origin", "")),
    ):
        op.add_column("traces", column)
    op.drop_index("traces_by_use", "traces")
    op.execute("UPDATE traces SET origin = CASE WHEN deployment = '' THEN model ELSE deployment END")
    op.create_index("traces_by_origin", "traces", ["workspace", "origin"])
    op.execute("DELETE FROM lineage WHERE relation = 'answered' AND child IN (SELECT id FROM traces)")
    _access()
    _create("responses", _id(), *_texts("previous", "body", "messages"), _double("created"))
    _create(
        "usage",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("member", "key", "endpoint", "model", "kind", "day")),
        *(_bigint(name) for name in ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cost")),
        _double("seconds"),
    )
    op.create_index("usage_by_day", "usage", ["day"])
    op.execute(_COUNT)


def _access() -> None:
    _create("members", _id(), *_texts("name", "role"), _double("created"), _flag("removed"))
    _create(
        "providers",
        *(_id(), *_texts("name", "api", "url", "sealed", "hint"), _double("created")),
        sa.UniqueConstraint("workspace", "name", name="providers_name"),
    )
    _create(
        "endpoints",
        *(_id(), *_texts("name", "targets", "fallback", "sticky", "policy", "exam"), _double("bar")),
        *(_text("timeouts"), _bigint("retries"), _double("created")),
        sa.UniqueConstraint("workspace", "name", name="endpoints_name"),
    )
    numbers = ("requests_per_minute", "tokens_per_minute", "concurrent", "tokens_per_day", "tokens_per_month")
    _create(
        "limits",
        *(_id(), *_texts("scope", "target")),
        *(sa.Column(name, sa.BigInteger) for name in (*numbers, "money_per_day", "money_per_month")),
        *(_double("soft"), _double("created")),
        sa.UniqueConstraint("workspace", "scope", "target", name="limits_target"),
    )


def _create(name: str, *items: SchemaItem) -> None:
    op.create_table(name, sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True), *items)


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Text, primary_key=True)


def _text(name: str, before: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, server_default=before)


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [_text(name) for name in names]


def _bigint(name: str, before: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=before)


def _double(name: str, before: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Double, nullable=False, server_default=before)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False)
