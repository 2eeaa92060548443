"""What is left of a call when it is over: the lines that become its traces, and what it costs.

This module knows traces and how they are written. It does not know budgets' rules or who is called.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import msgspec

from feilun.gateway.hotpath.calls import Call, messages_of
from feilun.gateway.hotpath.reading import Reading
from feilun.gateway.hotpath.routes import Choice
from feilun.records import JSON, Usage
from feilun.store.traces import line

WITHOUT_TEXT = frozenset({"embedding", "rerank"})  # of texts that were only turned into vectors nothing is kept
_NOTHING = Usage(0, 0)


class _Permissions(msgspec.Struct):
    train: bool


class _Line(msgspec.Struct):
    """A trace as the call log has it: ``records.Trace`` field by field, several times cheaper to make."""

    id: str
    workspace: str
    key: str
    endpoint: str
    model: str
    messages: list[JSON]
    answer: str
    finish: str
    usage: Any
    deployment: str
    permissions: _Permissions
    created: float
    seconds: float
    member: str
    kind: str
    cost: int
    first: float
    meta: JSON


def cost(choice: Choice, usage: Usage) -> int:
    """Return what a use costs at a target's prices, in nano-units of money."""
    target = choice.target
    return usage.prompt_tokens * target.price_in + usage.completion_tokens * target.price_out


def lines_of(call: Call, choice: Choice, model: str, reading: Reading, finish: str, first: float) -> list[bytes]:
    """Return the lines of a call for the call log, one per answer; the first one bears the whole use.

    ``finish`` says how the call ended where the model did not; ``first`` is the time to the first token (s).
    """
    usage = reading.count()
    messages = [] if call.kind in WITHOUT_TEXT else messages_of(call)
    key, permissions = call.key, _Permissions(call.learn)
    seconds = time.perf_counter() - call.began
    found: list[bytes] = []
    for index in sorted(reading.said) if len(reading.said) > 1 else (reading.said or (0,)):
        said = reading.said.get(index)
        meta: JSON = {}
        if said is not None and said.tools:
            meta["tool_calls"] = [said.tools[place] for place in sorted(said.tools)]
        if call.unit:
            meta["conversation"] = hashlib.blake2b(call.unit.encode(errors="replace"), digest_size=8).hexdigest()
        if not found and reading.estimated:
            meta["estimated"] = True
        text, end = ("".join(said.parts), said.finish) if said is not None else ("", "")
        trace = _Line(
            call.id if not found else f"{call.id}-{index}",
            key.workspace,
            key.id,
            call.name,
            model,
            messages,
            text,
            finish if call.left else end or finish,
            usage if not found else _NOTHING,
            choice.deployment,
            permissions,
            call.created,
            seconds,
            key.member,
            call.kind,
            cost(choice, usage) if not found else 0,
            first,
            meta,
        )
        found.append(line(trace))
    return found
