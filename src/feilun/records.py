"""The nouns of Feilun, as plain typed data.

This module knows the shape of every record that goes round the wheel. It knows nothing about where they are kept or
how they travel. Times are UTC seconds since the epoch (``float``). Ids carry the noun as a prefix (``trace-…``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Literal

Purpose = Literal["train", "retrieve", "send_outside", "evaluate", "inspect"]
PURPOSES: tuple[Purpose, ...] = ("train", "retrieve", "send_outside", "evaluate", "inspect")
Role = Literal["owner", "builder", "annotator", "viewer"]
LimitScope = Literal["workspace", "member", "key", "endpoint"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
JSON = dict[str, Any]

_ALPHANUMERIC = re.compile(r"[^\W_]+")


def new_id(prefix: str) -> str:
    """Return a fresh id such as ``trace-019a…``: time-ordered (ms) and unguessable (80 random bits)."""
    return f"{prefix}-{int(time.time() * 1000):012x}{os.urandom(10).hex()}"


def content_hash(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON value in canonical form: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def derived_id(prefix: str, *parts: Any) -> str:
    """Return the id that the same parts always give: steps that run again write the same rows again."""
    return f"{prefix}-{content_hash(list(parts))[:26]}"


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a source may be used for, on what ground; after ``until`` (ISO date) nothing is permitted but inspection."""

    train: bool = True
    retrieve: bool = True
    leave: bool = False
    mask: Literal["none", "pseudonymise"] = "none"
    until: str | None = None
    basis: Literal["own", "public", "contract", "consent"] = "own"
    encrypt: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A file, table or export that somebody brought in. ``origin``: ``file``, ``upload`` or ``feedback``."""

    id: str
    workspace: str
    name: str
    sha256: str
    size: int
    origin: str = "file"
    media: str = ""
    permissions: Permissions = field(default_factory=Permissions)
    created: float = field(default_factory=time.time)
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One row of data: an exchange (``chat``), a piece of text, a preference or a labelled text.

    Permissions follow the ids in ``sources``. A preference's messages end with the answer that was liked better and
    then the other one; a labelled text has its label as ``meta["label"]``.
    ``meta``: ``topic``, ``lang``, ``group`` (questions with one answer share it), ``place`` (row, page, line).
    """

    id: str
    kind: Literal["chat", "passage", "preference", "label"]
    sources: tuple[str, ...]
    messages: tuple[JSON, ...] = ()
    text: str = ""
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A named table of records, immutable once written. ``id`` derives from workspace, name and content hash."""

    id: str
    workspace: str
    name: str
    version: int
    sha256: str
    rows: int
    created: float = field(default_factory=time.time)
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model that can be served: a base (``kind`` ``base``) or an adapter on a base (``adapter``).

    ``identity`` maps the parts of what is in ``folder`` to SHA-256 sums. A base has no ``workspace``: all may use it.
    """

    id: str
    workspace: str
    name: str
    kind: Literal["base", "adapter"]
    base: str
    folder: str
    identity: JSON
    created: float = field(default_factory=time.time)
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvalItem:
    """One question of an exam. An answer is right if it contains any of ``accept`` and none of ``reject``."""

    id: str
    question: str
    accept: tuple[str, ...]
    reject: tuple[str, ...] = ()
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Eval:
    """A benchmark, shown to people as *exam*. ``criteria`` and ``schema`` are those of the OpenAI evals API."""

    id: str
    workspace: str
    name: str
    items: tuple[EvalItem, ...] = ()
    created: float = field(default_factory=time.time)
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvalAnswer:
    """One model's answer to one item: the prompt as sent, the answer as received, the score (0 or 1)."""

    run: str
    item: str
    prompt: str
    answer: str
    score: float
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvalRun:
    """One model answering a whole exam."""

    id: str
    workspace: str
    eval: str
    model: str
    status: JobStatus = "queued"
    created: float = field(default_factory=time.time)
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on one exam: shares right (0–1), difference with its 95 % interval, flips; ``meta``: how."""

    questions: int
    incumbent: float
    candidate: float
    difference: float
    interval: tuple[float, float]
    gained: int
    lost: int
    p_value: float
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on a candidate, with its reason in plain words (``en`` and ``zh``)."""

    id: str
    workspace: str
    candidate: str
    incumbent: str
    promoted: bool
    reason: JSON
    own: Comparison | None = None
    general: Comparison | None = None
    created: float = field(default_factory=time.time)
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """Durable background work of a ``kind`` (``turn``, ``training``, ``batch``, …): ``spec`` in, ``result`` out."""

    id: str
    workspace: str
    kind: str
    spec: JSON
    status: JobStatus = "queued"
    result: JSON = field(default_factory=dict)
    error: JSON = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    finished: float | None = None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened in a job, for people to follow. ``data`` may hold metrics such as ``loss``."""

    id: str
    job: str
    message: str
    level: Literal["info", "warn", "error"] = "info"
    data: JSON = field(default_factory=dict)
    created: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The model version that an endpoint (a public model name, such as ``own``) serves since ``created``."""

    id: str
    workspace: str
    endpoint: str
    model: str
    verdict: str = ""
    created: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. Only its SHA-256 is kept; ``hint`` shows people which key it is."""

    id: str
    workspace: str
    name: str
    role: Role
    sha256: str
    hint: str
    created: float = field(default_factory=time.time)
    revoked: bool = False
    member: str = ""
    expires: float | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """A person of a workspace; the keys of a removed one are of no use."""

    id: str
    workspace: str
    name: str
    role: Role
    created: float = field(default_factory=time.time)
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """A remote model provider that speaks one of two APIs. ``sealed`` is its key, encrypted; ``hint`` shows which."""

    id: str
    workspace: str
    name: str
    api: Literal["openai", "anthropic"]
    url: str
    sealed: str = ""
    hint: str = ""
    created: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment of an endpoint: ``model`` on ``provider`` (empty: served here), with its share ``weight``.

    Prices are nano-units of money a token (2.50 a million is 2500); ``context`` is its window in tokens (0: not known).
    """

    model: str
    provider: str = ""
    weight: float = 1.0
    price_in: int = 0
    price_out: int = 0
    context: int = 0
    images: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A stable task name, and the deployments behind it; ``fallback`` names endpoints to try when none of them answers.

    ``sticky`` keeps a ``conversation`` or a ``prefix`` on one target. ``cheapest`` takes the cheapest whose score on
    ``exam`` reaches ``bar`` (0–1). ``timeouts`` are seconds: ``connect``, ``first``, ``between``, ``total``.
    """

    id: str
    workspace: str
    name: str
    targets: tuple[Target, ...]
    fallback: tuple[str, ...] = ()
    sticky: Literal["", "conversation", "prefix"] = ""
    policy: Literal["weighted", "cheapest"] = "weighted"
    exam: str = ""
    bar: float = 0.0
    timeouts: JSON = field(default_factory=dict)
    retries: int = 2
    created: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Limit:
    """What a workspace, member, key or endpoint (``scope``; ``target``: its id or name) may use; None is no limit.

    Money is in nano-units, days are UTC's. At the share ``soft`` of a budget comes an alert, at the whole a hard stop.
    """

    id: str
    workspace: str
    scope: LimitScope
    target: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    money_per_day: int | None = None
    money_per_month: int | None = None
    soft: float = 0.8
    created: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost, in tokens counted by the engine; ``cached_tokens`` of the prompt were known already."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """One call: who asked, what answered, how it ended; ``cost`` in nano-units, time to the ``first`` token (s)."""

    id: str
    workspace: str
    key: str
    endpoint: str
    model: str
    messages: tuple[JSON, ...]
    answer: str
    finish: str
    usage: Usage
    deployment: str = ""
    permissions: Permissions = field(default_factory=Permissions)
    created: float = field(default_factory=time.time)
    seconds: float = 0.0
    member: str = ""
    kind: str = "chat"
    cost: int = 0
    first: float = 0.0
    meta: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feedback:
    """A judgement about a trace: ``thumb`` (+1 or −1), ``score`` (0–1), ``correction`` (the right answer)."""

    id: str
    workspace: str
    trace: str
    thumb: int | None = None
    score: float | None = None
    correction: str = ""
    comment: str = ""
    created: float = field(default_factory=time.time)


def normalise_text(text: str) -> str:
    """Return ``text`` for comparing: NFKC, case folded, letters and digits only, single spaces between words."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_ALPHANUMERIC.findall(folded))


def text_digest(text: str) -> str:
    """Return the SHA-256 (hex) of the normalised text: equal for texts that differ only in case, width or marks."""
    return hashlib.sha256(normalise_text(text).encode()).hexdigest()
