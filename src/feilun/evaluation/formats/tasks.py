"""Tasks of lm-evaluation-harness as items: whole prompts, continuations, the harness's own scoring.

Every row stays, copies too: the score is to be the harness's. This module knows how a row of a task becomes an item. It
does not know the task format.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from feilun.errors import BadRequest
from feilun.evaluation.formats.filters import grader_of
from feilun.evaluation.formats.gradable import fault_of
from feilun.evaluation.formats.harness import SEED, Task, asks, choices_of, context_of, read_task, target_of
from feilun.evaluation.formats.rows import Row, named
from feilun.records import JSON, EvalItem, derived_id

ANSWER_TOKENS = 256  # the harness's own bound, where a task names none
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def task_items(paths: list[Path], data: Path | None, ws: str, name: str) -> tuple[list[EvalItem], JSON, list[str]]:
    """Return the items of tasks, what their exam knows, and warnings; raise BadRequest."""
    items: list[EvalItem] = []
    faults: list[str] = []
    warnings: list[str] = []
    metrics: list[str] = []
    for path in paths:
        task = read_task(path, data)
        draw = random.Random(SEED)
        for number, row in enumerate(task.rows):
            try:
                item = _item(task, row, number, draw, (ws, name))
            except BadRequest as error:
                raise BadRequest(f"{task.name}, {row.place}: {error.message}", error.hint) from error
            except UnicodeEncodeError:
                faults.append(f"{row.place}: it holds half a character (a lone surrogate)")
                continue
            if fault := _fault(task, row, item):
                faults.append(f"{row.place}: {fault}")
            else:
                items.append(item)
        metrics += [str(each.get("metric")) for each in task.config.get("metric_list") or [] if isinstance(each, dict)]
    if faults and len(faults) > len(items):
        raise BadRequest(
            f"Most rows of the exam {name} cannot be used ({len(faults)}): {named(faults)}", "Mend its data."
        )
    if faults:
        warnings.append(f"{len(faults)} rows were left out, so the score is not the harness's: {named(faults)}")
    twice = [ask for ask, count in Counter(item.question for item in items).items() if count > 1]
    if twice:
        warnings.append(f"{len(twice)} prompts stand there more than once; they count as often, as in the harness.")
    if contradictory := _contradictory(items):
        warnings.append(
            f"{len(contradictory)} prompts have targets that contradict each other; they stay, as in the harness: "
            f"{named(contradictory)}"
        )
    meta: JSON = {"harness": True, "metrics": sorted(set(metrics)) or ["acc"]}
    return items, meta, warnings


def _item(task: Task, row: Row, number: int, draw: random.Random, where: tuple[str, str]) -> EvalItem:
    config, fields = task.config, row.fields
    context = context_of(task, row, draw)
    delimiter = str(config.get("target_delimiter", " "))
    target = target_of(config, fields)
    meta: JSON = {"topic": task.name, "line": row.place, "key": str(number)}
    if task.kind == "generate_until":
        meta |= _generating(config, context, fields, target)
        accept: tuple[str, ...] = tuple(meta["grader"]["reference"])
    else:
        choices = choices_of(config, fields) if task.kind == "multiple_choice" else [str(target)]
        gold = _gold(target, choices) if task.kind == "multiple_choice" else [0]
        shown = choices if task.kind == "multiple_choice" else []
        meta |= {
            "choices": shown,
            "gold": gold,
            "likely": {"context": context, "continuations": [f"{delimiter}{each}" for each in choices], "gold": gold},
            "grader": _spoken(choices, gold) if shown else {"type": "contains", "accept": [choices[0].strip() or "-"]},
        }
        if not shown:
            meta["likely"]["greedy"] = True
        accept = tuple(choices[place] for place in gold) or ("-",)
    return EvalItem(derived_id("item", *where, task.name, number, context, list(accept)), context, accept, (), meta)


def _fault(task: Task, row: Row, item: EvalItem) -> str:
    """Return why no answer to an item could be right, or it asks nothing; empty if it is sound."""
    if not asks(task.config, row.fields):
        return "its question is empty"
    if task.kind == "multiple_choice":
        return "" if item.meta["gold"] and len(item.meta["choices"]) > 1 else "it names no right one among its options"
    if task.kind == "generate_until":
        return fault_of(item.meta["grader"])
    return "" if item.accept[0].strip() else "its target is empty"


def _contradictory(items: list[EvalItem]) -> list[str]:
    groups: dict[tuple[str, tuple[str, ...]], list[EvalItem]] = defaultdict(list)
    for item in items:
        groups[item.question, tuple(item.meta.get("choices", ()))].append(item)
    return [
        ", ".join(str(item.meta["line"]) for item in group)
        for group in groups.values()
        if len({frozenset(item.accept) for item in group}) > 1
    ]


def _generating(config: JSON, context: str, fields: JSON, target: Any) -> JSON:
    if config.get("doc_to_choice") is not None and isinstance(target, int):
        target = [choices_of(config, fields)[place] for place in _gold(target, choices_of(config, fields))]
    how = config.get("generation_kwargs") or {}
    until = how.get("until") or [str(config.get("fewshot_delimiter", "\n\n"))]
    if how.get("do_sample") or float(how.get("temperature") or 0.0) > 0:
        raise BadRequest("The task samples its answers.", "Set do_sample: false, so that they can be repeated.")
    references = [str(each) for each in (target if isinstance(target, list) else [target]) if each is not None]
    return {
        "grader": grader_of(config, references),
        "prompt": context,
        "stop": [until] if isinstance(until, str) else [str(each) for each in until],
        "tokens": int(how.get("max_gen_toks") or how.get("max_tokens") or ANSWER_TOKENS),
    }


def _gold(target: Any, choices: list[str]) -> list[int]:
    found: list[int] = []
    for each in target if isinstance(target, list) else [target]:
        if each is None or (each == "" and "" not in choices):
            continue
        place = each if isinstance(each, int) else choices.index(str(each)) if str(each) in choices else -1
        if not 0 <= place < len(choices):
            raise BadRequest(
                f"The target {str(each)[:60]!r} is none of the options.", "Compare doc_to_target with doc_to_choice."
            )
        found.append(place)
    return found


def _spoken(choices: list[str], gold: list[int]) -> JSON:
    """Return the grader for a model that answers in words."""
    bare = [choice.strip() for choice in choices]
    if all(len(choice) == 1 and choice in LETTERS for choice in bare) and len(gold) == 1:
        return {"type": "choice", "reference": bare[gold[0]], "letters": "".join(bare)}
    return {"type": "contains", "accept": [bare[place] or "-" for place in gold] or ["-"]}
