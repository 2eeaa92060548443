"""The training methods by name: where each recipe is, and how a dataset's records become its samples.

It knows names, options, shapes of lines and records. It does not know models, losses or jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feilun.errors import BadRequest
from feilun.grading import lacking
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
    "reward": {"learning_rate": 2e-4, "batch": 8, "replay_share": 0.0},
    "grpo": {"learning_rate": 2e-4, "batch": 4, "replay_share": 0.0},
}
# What a method alone is told: numbers, with what they are unless somebody says otherwise.
OPTIONS: Mapping[str, Mapping[str, float]] = {
    # sft: how much the likelihood of the chosen answer counts beside the preference (Pang et al. 2024), which alone may
    # let both sides fall
    "dpo": {"beta": 0.1, "label_smoothing": 0.0, "sft": 1.0, "liked": 0.0, "disliked": 0.0},
    # liked, disliked: weights of the two sides, 0 so that both count as much in sum
    "kto": {"beta": 0.1, "liked": 0.0, "disliked": 0.0},
    # centre: how much scores are drawn to nought, which the ranking alone leaves open (Eisenstein et al. 2023)
    "reward": {"centre": 0.01},
    "grpo": {"beta": 0.04, "clip": 0.2, "samples": 8.0, "temperature": 1.0, "max_tokens": 96.0, "scaled": 1.0},
    # odds: 0 learns the words alone, also where the teacher told its odds
    "distillation": {"odds": 1.0},
    "reasoning": {"samples": 8.0, "temperature": 0.8, "top_p": 0.95, "max_tokens": 256.0, "ways": 4.0},
}
LOWEST: Mapping[str, Mapping[str, float]] = {
    "grpo": {"samples": 2.0, "temperature": 0.01, "max_tokens": 1.0},
    "reasoning": {"samples": 1.0, "temperature": 0.01, "top_p": 0.01, "max_tokens": 1.0, "ways": 1.0},
}
# And what is one of these words, the first unless somebody chose. weighting: what weighs the same; answers nearly so
_EVEN = {"weighting": ("answers", "tokens")}
CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {"supervised": _EVEN, "full": _EVEN}
# And what is neither, or is for whoever prepares its samples.
BESIDE: Mapping[str, Mapping[str, type]] = {
    "cpt": {"full": bool},
    "grpo": {"grader": dict, "reward_model": str},
    "distillation": {"temperature": float, "max_tokens": int, "logprobs": bool},
    "reasoning": {"grader": dict},
}
_WORDS = {bool: "true or false", dict: "an object", str: "a text", float: "a number", int: "a whole number"}
MOST_NAMED = 5


def numbers(method: str, options: JSON) -> dict[str, float]:
    """Return the numbers that a method is told, over its own; raise BadRequest for an option that it does not take.

    ``auto`` and None stand for the method's own.
    """
    defaults, lowest, beside = OPTIONS.get(method, {}), LOWEST.get(method, {}), BESIDE.get(method, {})
    choices = CHOICES.get(method, {})
    known = {*defaults, *beside, *choices}
    unknown = sorted(set(options) - known)
    if unknown:
        takes = ", ".join(sorted(known)) or "no options"
        raise BadRequest(f"The method {method} takes no {', '.join(unknown)[:200]}.", f"It takes {takes}.", unknown[0])
    found = dict(defaults)
    for name, value in options.items():
        if value is None or value == "auto":
            continue
        if name in choices:
            if value not in choices[name]:
                must = " or ".join(choices[name])
                raise BadRequest(f"{name} is {str(value)[:60]!r}; it must be {must}.", param=name)
            continue
        if name in beside:
            fits = isinstance(value, beside[name]) or (beside[name] is float and type(value) is int)
            if not fits:
                raise BadRequest(f"{name} is {str(value)[:60]!r}; it must be {_WORDS[beside[name]]}.", param=name)
            continue
        low = lowest.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < float("inf"):
            raise BadRequest(f"{name} is {value!r}; it must be a number of at least {low:g}.", param=name)
        found[name] = float(value)
    return found


def word(method: str, name: str, options: JSON) -> str:
    """Return which of its words an option is; the first unless somebody chose."""
    chosen = options.get(name)
    return CHOICES[method][name][0] if chosen is None or chosen == "auto" else str(chosen)


def default_rate(method: str) -> float:
    """Return the learning rate of a method where nobody says another and no probe is made."""
    return float(DEFAULTS.get(method, {}).get("learning_rate", Plan("", "", "", "", "").learning_rate))


def samples_of(method: str, records: Sequence[Record]) -> list[JSON]:
    """Return the lines that a method learns from, of the records that are of its kind, in their order."""
    return [line for record in records for line in _LINES[method](record)]


def ungradable(method: str, grader: JSON, records: Sequence[Record]) -> str:
    """Return in words which records lack what the templates of a grader name; empty if none does."""
    found: list[str] = []
    for record in records:
        lacks = [name for line in _LINES[method](record) for name in lacking(grader, line["item"], {"output_text": ""})]
        if lacks:
            place = record.meta.get("place") or record.id
            found.append(f"{place}: the grader names {', '.join(lacks)[:200]}, which this line lacks")
    more = f"; and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return "; ".join(found[:MOST_NAMED]) + more


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
    messages, item = list(record.messages), dict(record.meta.get("item") or {})
    if messages and messages[-1].get("role") == "assistant":
        item = {"reference_answer": messages.pop()["content"], **item}
    return [{"prompt": messages, "item": item}]


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
