"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    _create("workspaces", _text("name", key=True), _double("created"))
    changes = _create("changes", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False), _bigint("number"))
    op.bulk_insert(changes, [{"id": 1, "number": 0}])
    _sources_and_datasets()
    _models_and_exams()
    _use()
    _jobs()
    _create("lineage", _workspace(), _text("parent", key=True), _text("child", key=True), _text("relation", key=True))
    op.create_index("lineage_by_child", "lineage", ["workspace", "child"])


def _sources_and_datasets() -> None:
    _create(
        "sources",
        *(_workspace(), _text("id", key=True), *_texts("name", "sha256"), _bigint("size"), *_texts("origin", "media")),
        *(_text("permissions"), _double("created"), _text("meta"), _flag("deleted")),
    )
    op.create_index("sources_by_sha256", "sources", ["sha256"])
    _create(
        "digests",
        *(_text("workspace", key=True), _text("source", key=True), _text("digest", key=True)),
        sa.ForeignKeyConstraint(["workspace", "source"], ["sources.workspace", "sources.id"]),
    )
    _create(
        "datasets",
        *(_workspace(), _text("id", key=True), _text("name"), _bigint("version"), _text("sha256"), _bigint("rows")),
        *(_double("created"), _text("meta")),
        sa.UniqueConstraint("workspace", "name", "version", name="datasets_version"),
    )


def _models_and_exams() -> None:
    _create(
        "models",
        *(_text("workspace", key=True), _text("id", key=True), *_texts("name", "kind", "base", "folder", "identity")),
        *(_double("created"), _text("meta")),
    )
    _create("evals", _workspace(), _text("id", key=True), *_texts("name", "items"), _double("created"), _text("meta"))
    _create(
        "eval_runs",
        *(_text("id", key=True), sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), nullable=False)),
        *(*_texts("eval", "model", "status"), _double("created"), _text("meta")),
    )
    op.create_index("eval_runs_by_eval", "eval_runs", ["workspace", "eval"])
    _create(
        "answers",
        sa.Column("run", sa.Text, sa.ForeignKey("eval_runs.id"), primary_key=True),
        *(_text("item", key=True), *_texts("prompt", "answer"), _double("score"), _text("meta")),
    )
    _create(
        "verdicts",
        *(_workspace(), _text("id", key=True), *_texts("candidate", "incumbent"), _flag("promoted")),
        *(*_texts("reason", "own", "general"), _double("created"), _text("meta")),
    )
    _create(
        "deployments",
        *(_workspace(), _text("id", key=True), *_texts("endpoint", "model", "verdict"), _double("created")),
        sa.Column("seq", sa.BigInteger, nullable=False, unique=True),
    )


def _use() -> None:
    _create(
        "traces",
        *(_workspace(), _text("id", key=True), *_texts("key", "endpoint", "model", "messages", "answer", "finish")),
        *(_bigint("prompt_tokens"), _bigint("completion_tokens"), *_texts("deployment", "permissions")),
        *(_double("created"), _text("day"), _double("seconds")),
    )
    op.create_index("traces_by_time", "traces", ["workspace", "created", "id"])
    op.create_index("traces_by_use", "traces", ["workspace", "model", "day"])
    _create(
        "feedback",
        *(_workspace(), _text("id", key=True), _text("trace"), sa.Column("thumb", sa.Integer)),
        *(sa.Column("score", sa.Double), *_texts("correction", "comment"), _double("created")),
    )
    op.create_index("feedback_by_time", "feedback", ["workspace", "created", "id"])
    _create(
        "keys",
        *(_workspace(), _text("id", key=True), *_texts("name", "role")),
        *(sa.Column("sha256", sa.Text, nullable=False, unique=True), _text("hint"), _double("created")),
        _flag("revoked"),
    )


def _jobs() -> None:
    _create(
        "jobs",
        _text("id", key=True),
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), nullable=False),
        *(*_texts("kind", "spec", "status", "result", "error"), _double("created"), sa.Column("finished", sa.Double)),
        _flag("cancel"),
    )
    op.create_index("jobs_by_time", "jobs", ["workspace", "created", "id"])
    _create(
        "steps",
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
        *(_text("name", key=True), _text("output"), _double("seconds"), _bigint("seq")),
    )
    _create(
        "events",
        _text("id", key=True),
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), nullable=False),
        *(_bigint("seq"), *_texts("message", "level", "data"), _double("created")),
        sa.UniqueConstraint("job", "seq", name="events_order"),
    )


def _create(name: str, *items: SchemaItem) -> sa.Table:
    return op.create_table(name, *items)


def _workspace() -> sa.Column[Any]:
    return sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.name"), primary_key=True)


def _text(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False)


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [_text(name) for name in names]


def _bigint(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _double(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Double, nullable=False)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False)
