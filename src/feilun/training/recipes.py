"""The training methods by name: where each recipe is, and how a dataset's records become its samples.

It knows names, shapes of lines and records. It does not know models, losses or jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feilun.records import JSON, Record
from feilun.registry import Registry
from feilun.training.plan import Plan

METHODS = Registry("training method", "local")
METHODS.add("supervised", "feilun.training.methods.sft:train")
METHODS.add("full", "feilun.training.methods.full:train")
METHODS.add("cpt", "feilun.training.methods.cpt:train")
METHODS.add("dpo", "feilun.training.methods.dpo:train")
METHODS.add("kto", "feilun.training.methods.kto:train")
METHODS.add("reward", "feilun.training.methods.reward:train")
METHODS.add("grpo", "feilun.training.methods.grpo:train")
METHODS.add("distillation", "feilun.training.methods.distil:train")
METHODS.add("reasoning", "feilun.training.methods.reasoning:train")

# A preference shows after an answer's first sentence and spreads to all that is asked: so more is looked after.
BROAD: Mapping[str, Any] = {"replay_prompts": "broad", "replay_tokens": 64}
# What a method takes unless somebody says otherwise, where it is not what the plan says.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "full": {"learning_rate": 2e-5, "replay_share": 0.0},
    "cpt": {"learning_rate": 2e-4, "replay_share": 0.0},
    "dpo": {"learning_rate": 1e-3, "batch": 8, "replay_share": 2.0, **BROAD},
    "kto": {"learning_rate": 5e-4, "batch": 16, **BROAD},
    "reward": {"learning_rate": 2e-4, "batch": 8},
    "grpo": {"learning_rate": 2e-4, "batch": 4},
}


def default_rate(method: str) -> float:
    """Return the learning rate of a method where nobody says another and no probe is made."""
    return float(DEFAULTS.get(method, {}).get("learning_rate", Plan("", "", "", "", "").learning_rate))


def samples_of(method: str, records: Sequence[Record]) -> list[JSON]:
    """Return the lines that a method learns from, of the records that are of its kind, in their order."""
    return [line for record in records for line in _LINES[method](record)]


def _chat(record: Record) -> list[JSON]:
    return [{"messages": list(record.messages)}] if record.kind == "chat" else []


def _text(record: Record) -> list[JSON]:
    """Return a passage as it stands."""
    return [{"text": record.text}] if record.kind == "passage" and record.text.strip() else []


def _pair(record: Record) -> list[JSON]:
    if record.kind != "preference":
        return []
    *prompt, chosen, rejected = record.messages
    return [{"prompt": prompt, "chosen": chosen["content"], "rejected": rejected["content"]}]


def _preferred(record: Record) -> list[JSON]:
    """Return a pair, or an answer that was judged alone."""
    return _pair(record) or _liked(record)


def _liked(record: Record) -> list[JSON]:
    """Return a preference as an answer that was liked and one that was not; a chat says so itself."""
    if record.kind == "preference":
        *prompt, chosen, rejected = record.messages
        return [
            {"prompt": prompt, "answer": chosen["content"], "liked": True},
            {"prompt": prompt, "answer": rejected["content"], "liked": False},
        ]
    if record.kind != "chat" or "liked" not in record.meta:
        return []
    *prompt, answer = record.messages
    return [{"prompt": prompt, "answer": answer["content"], "liked": bool(record.meta["liked"])}]


def _graded(record: Record) -> list[JSON]:
    """Return what is asked and what a grader is told of it; an answer that is there is the reference."""
    if record.kind != "chat":
        return []
    messages = list(record.messages)
    answer = messages.pop()["content"] if messages and messages[-1].get("role") == "assistant" else ""
    item = dict(record.meta.get("item") or {})
    return [{"prompt": messages, "item": {"reference_answer": answer, **item}}]


def _taught(record: Record) -> list[JSON]:
    if record.kind != "chat":
        return []
    messages = list(record.messages)
    answer = messages.pop()["content"] if messages and messages[-1].get("role") == "assistant" else ""
    line: JSON = {"prompt": messages, "answer": answer}
    return [{**line, "logprobs": record.meta["logprobs"]} if "logprobs" in record.meta else line]


_LINES: dict[str, Callable[[Record], list[JSON]]] = {
    "supervised": _chat,
    "full": _chat,
    "cpt": _text,
    "dpo": _preferred,
    "reward": _pair,
    "kto": _liked,
    "grpo": _graded,
    "reasoning": _graded,
    "distillation": _taught,
}
