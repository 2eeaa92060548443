"""The tables as they are now, the portable column types, and how the nouns become rows and come back.

Knows names and types of columns. Does not know how the tables came to be (``migrations``), nor who reads them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from feilun.records import Comparison, EvalItem, Permissions, Target

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Noun = TypeVar("Noun", bound="DataclassInstance")


def clean(value: Any) -> Any:
    """Return ``value`` without what databases, Parquet and UTF-8 refuse: NUL characters, lone surrogates, NaN, ±∞.

    NUL is dropped, a lone surrogate becomes U+FFFD, NaN and infinities become None. Works through dicts, lists, tuples.
    """
    if isinstance(value, str):
        if "\0" in value:
            value = value.replace("\0", "")
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


class Words(TypeDecorator[str]):
    """Text that any client may have sent: cleaned on its way in, also where it is only compared with."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Return the cleaned text."""
        return None if value is None else clean(value)


class Json(TypeDecorator[Any]):
    """JSON as text, the same on every database; nested nouns become objects."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        """Return the JSON text of a cleaned value."""
        return json.dumps(clean(_plain(value)), ensure_ascii=False, separators=(",", ":"))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        """Return the value again; tuples come back as lists."""
        return None if value is None else json.loads(value)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


METADATA = sa.MetaData()


def _workspace() -> sa.Column[str]:
    return sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True)


def _id() -> sa.Column[str]:
    return sa.Column("id", Words, primary_key=True)


def _words(name: str) -> sa.Column[str]:
    return sa.Column(name, Words, nullable=False)


def _part(name: str) -> sa.Column[str]:
    return sa.Column(name, Words, primary_key=True)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, Json, nullable=False)


WORKSPACES = sa.Table(
    "workspaces", METADATA, sa.Column("name", Words, primary_key=True), _time("created"), _json("permissions")
)
CHANGES = sa.Table(
    "changes", METADATA, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False), _number("number")
)
SOURCES = sa.Table(
    "sources",
    METADATA,
    _workspace(),
    _id(),
    *(_words("name"), _words("sha256"), _number("size"), _words("origin"), _words("media")),
    *(_json("permissions"), _time("created"), _json("meta"), sa.Column("deleted", sa.Boolean, nullable=False)),
    _json("inherited"),
    sa.Index("sources_by_sha256", "sha256"),
)
DIGESTS = sa.Table(
    "digests",
    METADATA,
    sa.Column("workspace", Words, primary_key=True),
    sa.Column("source", Words, primary_key=True),
    sa.Column("digest", Words, primary_key=True),
    sa.ForeignKeyConstraint(["workspace", "source"], ["sources.workspace", "sources.id"]),
)
DATASETS = sa.Table(
    "datasets",
    METADATA,
    _workspace(),
    _id(),
    *(_words("name"), _number("version"), _words("sha256"), _number("rows"), _time("created"), _json("meta")),
    sa.UniqueConstraint("workspace", "name", "version", name="datasets_version"),
)
MODELS = sa.Table(
    "models",
    METADATA,
    sa.Column("workspace", Words, primary_key=True),
    _id(),
    *(_words("name"), _words("kind"), _words("base"), _words("folder"), _json("identity")),
    *(_time("created"), _json("meta")),
)
EVALS = sa.Table(
    "evals", METADATA, _workspace(), _id(), _words("name"), _json("items"), _time("created"), _json("meta")
)
EVAL_RUNS = sa.Table(
    "eval_runs",
    METADATA,
    _id(),
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), nullable=False),
    *(_words("eval"), _words("model"), _words("status"), _time("created"), _json("meta")),
    sa.Index("eval_runs_by_eval", "workspace", "eval"),
)
ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("run", Words, sa.ForeignKey("eval_runs.id"), primary_key=True),
    sa.Column("item", Words, primary_key=True),
    *(_words("prompt"), _words("answer"), _time("score"), _json("meta")),
)
VERDICTS = sa.Table(
    "verdicts",
    METADATA,
    _workspace(),
    _id(),
    *(_words("candidate"), _words("incumbent"), sa.Column("promoted", sa.Boolean, nullable=False), _json("reason")),
    *(_json("own"), _json("general"), _time("created"), _json("meta")),
)
TURNED_ON = sa.Table(
    "turned_on",
    METADATA,
    sa.Column("workspace", Words, primary_key=True),
    _part("model"),
    *(_words("who"), _time("created")),
    sa.ForeignKeyConstraint(["workspace", "model"], ["models.workspace", "models.id"]),
)
DEPLOYMENTS = sa.Table(
    "deployments",
    METADATA,
    _workspace(),
    _id(),
    *(_words("endpoint"), _words("model"), _words("verdict"), _time("created")),
    sa.Column("seq", sa.BigInteger, nullable=False, unique=True),
)
TRACES = sa.Table(
    "traces",
    METADATA,
    _workspace(),
    _id(),
    *(_words("key"), _words("endpoint"), _words("model"), _json("messages"), _words("answer"), _words("finish")),
    *(_number("prompt_tokens"), _number("completion_tokens"), _words("deployment"), _json("permissions")),
    *(_time("created"), _words("day"), _time("seconds"), _words("member"), _words("kind"), _number("cost")),
    *(_time("first"), _number("cached_tokens"), _json("meta"), _words("origin")),
    sa.Index("traces_by_time", "workspace", "created", "id"),
    sa.Index("traces_by_origin", "workspace", "origin"),
)
USAGE = sa.Table(
    "usage",
    METADATA,
    _workspace(),
    *(_part(name) for name in ("member", "key", "endpoint", "model", "kind", "day")),
    *(_number("calls"), _number("prompt_tokens"), _number("completion_tokens"), _number("cached_tokens")),
    *(_number("cost"), _time("seconds")),
    sa.Index("usage_by_day", "day"),
)
RESPONSES = sa.Table(
    "responses", METADATA, _workspace(), _id(), _words("previous"), _json("body"), _json("messages"), _time("created")
)
FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    _workspace(),
    _id(),
    _words("trace"),
    sa.Column("thumb", sa.Integer),
    *(_time("score", nullable=True), _words("correction"), _words("comment"), _time("created")),
    sa.Index("feedback_by_time", "workspace", "created", "id"),
)
KEYS = sa.Table(
    "keys",
    METADATA,
    _workspace(),
    _id(),
    *(_words("name"), _words("role"), sa.Column("sha256", Words, nullable=False, unique=True), _words("hint")),
    *(_time("created"), _flag("revoked"), _words("member"), _time("expires", nullable=True), _json("scopes")),
)
MEMBERS = sa.Table(
    "members", METADATA, _workspace(), _id(), _words("name"), _words("role"), _time("created"), _flag("removed")
)
PROVIDERS = sa.Table(
    "providers",
    METADATA,
    _workspace(),
    _id(),
    *(_words("name"), _words("api"), _words("url"), _words("sealed"), _words("hint"), _time("created")),
    sa.UniqueConstraint("workspace", "name", name="providers_name"),
)
ENDPOINTS = sa.Table(
    "endpoints",
    METADATA,
    _workspace(),
    _id(),
    *(_words("name"), _json("targets"), _json("fallback"), _words("sticky"), _words("policy"), _words("exam")),
    *(_time("bar"), _json("timeouts"), _number("retries"), _time("created")),
    sa.UniqueConstraint("workspace", "name", name="endpoints_name"),
)
LIMITS = sa.Table(
    "limits",
    METADATA,
    _workspace(),
    _id(),
    *(_words("scope"), _words("target")),
    *(sa.Column(name, sa.BigInteger) for name in ("requests_per_minute", "tokens_per_minute", "concurrent")),
    *(sa.Column(name, sa.BigInteger) for name in ("tokens_per_day", "tokens_per_month")),
    *(sa.Column(name, sa.BigInteger) for name in ("money_per_day", "money_per_month")),
    *(_time("soft"), _time("created")),
    sa.UniqueConstraint("workspace", "scope", "target", name="limits_target"),
)
JOBS = sa.Table(
    "jobs",
    METADATA,
    _id(),
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), nullable=False),
    *(_words("kind"), _json("spec"), _words("status"), _json("result"), _json("error")),
    *(_time("created"), _time("finished", nullable=True), sa.Column("cancel", sa.Boolean, nullable=False)),
    sa.Index("jobs_by_time", "workspace", "created", "id"),
)
STEPS = sa.Table(
    "steps",
    METADATA,
    sa.Column("job", Words, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("name", Words, primary_key=True),
    *(_json("output"), _time("seconds"), _number("seq")),
)
EVENTS = sa.Table(
    "events",
    METADATA,
    _id(),
    sa.Column("job", Words, sa.ForeignKey("jobs.id"), nullable=False),
    *(_number("seq"), _words("message"), _words("level"), _json("data"), _time("created")),
    sa.UniqueConstraint("job", "seq", name="events_order"),
)
LINEAGE = sa.Table(
    "lineage",
    METADATA,
    sa.Column("workspace", Words, sa.ForeignKey("workspaces.name"), primary_key=True),
    sa.Column("parent", Words, primary_key=True),
    sa.Column("child", Words, primary_key=True),
    sa.Column("relation", Words, primary_key=True),
    sa.Index("lineage_by_child", "workspace", "child"),
)


def _comparison(value: Any) -> Comparison | None:
    return None if value is None else Comparison(**{**value, "interval": tuple(value["interval"])})


_REBUILD: dict[str, Callable[[Any], Any]] = {
    "permissions": lambda value: Permissions(**value),
    "messages": tuple,
    "items": lambda value: tuple(
        EvalItem(**{**item, "accept": tuple(item["accept"]), "reject": tuple(item["reject"])}) for item in value
    ),
    "scopes": tuple,
    "workspace": sys.intern,  # one text for all that is of it, which spares comparing them
    "targets": lambda value: tuple(Target(**target) for target in value),
    "fallback": tuple,
    "own": _comparison,
    "general": _comparison,
}


def to_row(noun: Any, **more: Any) -> dict[str, Any]:
    """Return the column values of a noun, and ``more`` for columns that the noun has no field for."""
    return {field.name: getattr(noun, field.name) for field in fields(noun)} | more


def from_row(kind: type[Noun], row: Mapping[str, Any]) -> Noun:
    """Return the noun that a row holds; columns that are no field of it are left out."""
    values: dict[str, Any] = {}
    for field in fields(kind):
        value = row[field.name]
        values[field.name] = _REBUILD[field.name](value) if field.name in _REBUILD else value
    return kind(**values)
