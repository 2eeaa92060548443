"""The commands that train and export: what is asked for, what it will take, how far it is, what came of it.

This module knows options and sentences. It does not know how a model is trained or written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "wishes": "feilun.gateway.endpoints.fine_tuning.alone:Wishes",
    "prepare": "feilun.gateway.endpoints.fine_tuning.alone:prepare",
    "train": "feilun.gateway.endpoints.fine_tuning.alone:train",
    "version": "feilun.gateway.endpoints.fine_tuning.alone:version_named",
    "export": "feilun.training.export:export_model",
    "amount": "feilun.store.access.money:amount",
}.items():
    PARTS.add(_name, _target)
METHODS = ("supervised", "full", "cpt", "dpo", "kto", "reward", "reinforcement", "distillation", "reasoning")
FORMS = ("adapter", "merged", "gguf")
_TRAIN_HELP = """example: feilun train pairs.jsonl
example: feilun train pairs.jsonl --estimate
example: feilun train liked.jsonl --method dpo --name polite
example: feilun train prompts.jsonl --method distillation --teacher cloud/large-model
example: feilun train sums.jsonl --method reasoning --grader grader.json --samples 8
example: feilun train pages.jsonl --method cpt --base qwen2.5-0.5b-instruct

DATA has one JSON object a line; what it holds follows the method:
  supervised, full  {"messages": [..., {"role": "assistant", "content": "..."}]}
  dpo, reward       {"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}
  kto               {"messages": [..., the answer], "liked": true or false}
  cpt               {"text": "..."}: documents to read on in
  distillation      {"messages": [...]}: prompts that the --teacher answers
  reasoning, reinforcement   {"messages": [...], "reference_answer": "..."}: prompts whose answers the --grader checks
It may also be the id of a dataset version, or the word feedback: the thumbs and corrections of the workspace, for dpo,
kto and reward. A grader is OpenAI's JSON, such as {"type": "string_check", "name": "right",
"input": "{{sample.output_text}}", "reference": "{{item.reference_answer}}", "operation": "ilike"}.

Nothing but DATA has to be said: rates, passes and the share of replay are found on your data. Time and room are shown
before anything begins. What an exam asks is left out of the data. A training that was killed goes on where it stopped
when the same command is given again; Ctrl-C stops it, too."""
_EXPORT_HELP = """example: feilun export own --as adapter --out ./own-adapter
example: feilun export model-1f… --as merged --out ./own-merged
example: feilun export own --as gguf --quantise q8_0 --out ./own-gguf

adapter: PEFT's folder, as it was trained. merged: a Hugging Face folder with all weights (f32, bf16, f16). gguf: one
file for llama.cpp (q8_0, q5_1, q5_0, q4_1, q4_0, bf16, f16, f32). Each has a card, README.md: what it was made of, with
whose permission, and how it did in exams. A model that has learnt what was revoked is not exported. The folder is there
only when it is whole."""


def add_training(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to the others."""
    parser = command(found, "train", train, "train a model on a file of examples, preferences, prompts or texts", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _TRAIN_HELP
    parser.add_argument("data", metavar="DATA", help="a file of JSON lines, or a dataset-… id")
    parser.add_argument("--method", default="supervised", choices=METHODS, help="how to learn (default: supervised)")
    parser.add_argument("--base", default="", help="base model: a name, a Hugging Face folder or a GGUF file")
    parser.add_argument("--from", dest="start", default="", metavar="MODEL", help="a version of your own to go on from")
    parser.add_argument("--validation", default="", metavar="FILE", help="examples to watch, not to learn")
    parser.add_argument("--name", default="", help="the new version's name, of at most 64 characters")
    # Not by the names of settings, which are numbers.
    number: dict[str, Any] = {"metavar": "N", "type": _or_auto(int)}
    parser.add_argument(
        "--epochs", help="passes over the data, 1 to 50, or auto (default: found)", dest="n_epochs", **number
    )
    parser.add_argument(
        "--batch", help="examples a step, 1 to 256, or auto: as many as fit", dest="batch_size", **number
    )
    parser.add_argument(
        "--rate",
        type=_or_auto(float),
        metavar="X",
        help="times the method's learning rate, above 0 to 100, or auto (default: found)",
    )
    parser.add_argument(
        "--beta",
        type=_or_auto(float),
        help="dpo, kto, reinforcement: how near to stay to the beginning, above 0 to 2, or auto",
    )
    parser.add_argument(
        "--samples",
        type=_or_auto(int),
        help="reasoning, reinforcement: answers tried for each prompt, 2 to 64, or auto",
    )
    parser.add_argument("--grader", type=Path, metavar="FILE", help="reasoning, reinforcement: JSON of the grader")
    parser.add_argument("--reward-model", default="", metavar="MODEL", help="reinforcement: instead of a grader")
    parser.add_argument(
        "--teacher", default="", metavar="MODEL", help="distillation: a model or endpoint to learn from"
    )
    parser.add_argument(
        "--max-tokens", type=_or_auto(int), help="distillation: longest answer of the teacher, 1 to 32768, or auto"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random, below 2**63 (default: 0)")
    parser.add_argument("--threads", type=int, help="processor threads; 0 is all cores")
    parser.add_argument("--estimate", action="store_true", help="say what it will take, and train nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")

    parser = command(found, "export", export, "write a model as files for other programs, with its card", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXPORT_HELP
    parser.add_argument("name", metavar="MODEL", help="a version's id or name, or an endpoint that serves one")
    parser.add_argument("--as", dest="form", required=True, choices=FORMS, help="what to write")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a folder that is not there yet")
    parser.add_argument("--quantise", "--quantize", default="", metavar="KIND", help="how weights are kept")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def _or_auto(kind: type[float]) -> Callable[[str], float | str]:
    """Return what reads a number, or the word auto."""

    def read(text: str) -> float | str:
        try:
            return text if text == "auto" else kind(text)
        except ValueError as error:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor {what}") from error

    return read


def train(given: argparse.Namespace, teller: Teller) -> int:
    """Train, or say what it would take."""
    wishes = PARTS.load("wishes")(
        given.data, _method(given), given.validation, given.base, given.start, given.name, given.seed
    )
    return int(with_store(teller.settings, lambda db: _train(db, wishes, given, teller)))


def _train(db: Any, wishes: Any, given: argparse.Namespace, teller: Teller) -> int:
    ws, settings = named(db, given), teller.settings
    prepared = PARTS.load("prepare")(db, settings, ws, wishes, lambda text: teller.say("{}", text))
    for note in prepared.notes:
        teller.say("{}", note)
    if given.estimate and given.json:
        print(json.dumps(prepared.estimate, ensure_ascii=False, indent=1))
        return 0
    if not given.json:
        _tell_estimate(prepared, teller)
    if given.estimate:
        return 0
    progress = _quiet if given.json else teller.progress
    result = asyncio.run(PARTS.load("train")(db, settings, prepared, progress))
    teller.over("")
    if given.json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
        return 0
    losses = result.get("loss") or []
    if losses:
        teller.say(
            "Loss {:.3f} -> {:.3f} in {} steps, {:.0f} s.", losses[0], losses[-1], len(losses), result["seconds"]
        )
    if result.get("removed"):
        teller.say("{} examples were left out because an exam asks them.", result["removed"])
    teller.say(
        "Ready: {}. Ask it by this id once feilun up runs; prove it with an exam before you promote it.",
        result["model"],
    )
    return 0


def _quiet(_message: JSON) -> None:
    """Tell nobody."""


def _tell_estimate(prepared: Any, teller: Teller) -> None:
    found: JSON = prepared.estimate or {}
    if not found:
        return
    gigabytes, minutes = 2**30, max(1, round(found["seconds"] / 60))
    line = "{} examples on {}: {} steps, about {} tokens."
    teller.say(line, prepared.rows, prepared.base, found["steps"], found["tokens"] + found["tried_tokens"])
    line = "About {} min{}, {:.1f} GB of memory, {:.1f} GB of disk; no money: it runs on this machine."
    basis = "" if found["measured"] else teller.text(" (a guess: the first of its kind here)")
    teller.say(line, minutes, basis, found["memory"] / gigabytes, found["disk"] / gigabytes)
    if asked := found.get("teacher"):
        line = "The teacher is asked {} times, at most {} tokens of answers: at most {}."
        money = PARTS.load("amount")(asked["most_money"])
        teller.say(line, asked["calls"], asked["most_answer_tokens"], money)


def _method(given: argparse.Namespace) -> JSON:
    """Return the ``method`` of the API that the options say."""
    said = {
        "n_epochs": given.n_epochs,
        "batch_size": given.batch_size,
        "learning_rate_multiplier": given.rate,
        "beta": given.beta,
        "samples": given.samples,
        "max_tokens": given.max_tokens,
    }
    told: JSON = {"hyperparameters": {name: value for name, value in said.items() if value is not None}}
    if given.teacher:
        told["teacher"] = given.teacher
    if given.grader is not None:
        try:
            told["grader"] = json.loads(given.grader.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise BadRequest(
                f"{given.grader} is no grader: {error}", "It is a JSON file; see feilun train --help."
            ) from error
    if given.reward_model:
        told["reward_model"] = given.reward_model
    for method, option in (("distillation", "teacher"), ("reasoning", "grader")):
        if given.method == method and option not in told:
            raise BadRequest(f"{method} needs --{option}.", "See feilun train --help.")
    return {"type": given.method, given.method: told}


def export(given: argparse.Namespace, teller: Teller) -> int:
    """Write a model as files."""
    return int(with_store(teller.settings, lambda db: _export(db, given, teller)))


def _export(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    ws = named(db, given)
    version = PARTS.load("version")(db, ws, given.name)
    done = PARTS.load("export")(db, ws, version.id, given.form, given.out, given.quantise)
    teller.say("{} is in {}:", version.id, done.folder)
    for name, size in done.files.items():
        print(f"  {size / 2**20:>9.1f} MB  {name}")
    return 0
