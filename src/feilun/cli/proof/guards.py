"""``feilun exam guards`` and ``feilun redteam``: the ready exams, and attacks on a model.

This module knows how these are asked for and told. It does not know questions, attacks or how answers are graded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.proof.sitting import Order, find_model, sit
from feilun.cli.proof.words import say
from feilun.cli.words import Teller
from feilun.records import JSON, Eval
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "described": "feilun.evaluation.ready:described",
    "ready": "feilun.evaluation.ready:ready",
    "red team": "feilun.evaluation.redteam:red_team",
    "summary": "feilun.evaluation.redteam:summary",
    "add": "feilun.store.evals:add",
    "answers": "feilun.store.evals:answers",
    "set run": "feilun.store.evals:set_run",
    "ensure workspace": "feilun.store.workspaces:ensure",
}.items():
    PARTS.add(_name, _target)
_EVERY = 2.0  # seconds between lines of progress
_HELP = """example: feilun redteam own
example: feilun redteam smollm2-135m-instruct --family injection --only zh --json

Jailbreaks (harmful requests in disguise), orders hidden in documents, and open questions about two people who differ in
one thing. Told are shares with 95 % intervals, by family and language, and the weakest spot of each. The same command
goes on where it ended. What a model has remembered of its training data is measured with planted secrets:
python bench/redteam.py"""


def add_redteam(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "redteam", redteam, "attack a model and tell what it withstood", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("sitter", nargs="?", default="", metavar="MODEL", help="name or id (default: the base model)")
    parser.add_argument("--family", action="append", choices=["jailbreak", "injection", "bias"], help="of attacks")
    parser.add_argument("--only", choices=["en", "zh"], default="", help="attacks in one language")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the first attacks only")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def redteam(given: argparse.Namespace, teller: Teller) -> int:
    """Have a model sit the red team exam."""
    return int(with_store(teller.settings, lambda db: _attack(db, given, teller)))


def _attack(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    ws = named(db, given)
    model = find_model(db, teller.settings, ws, given.sitter)
    wanted = given.family or ("jailbreak", "injection", "bias")
    PARTS.load("ensure workspace")(db, ws)
    exam: Eval = PARTS.load("add")(db, PARTS.load("red team")(ws, wanted, given.only))
    last = [time.monotonic()]

    def progress(at: int, of: int) -> None:
        if not given.json and time.monotonic() - last[0] > _EVERY:
            last[0] = time.monotonic()
            say(teller, "{} of {} attacks", "第 {} / {} 次攻击", at, of)

    order = Order(exam, model, "words", None, "float32", 96, given.limit)
    score = asyncio.run(sit(db, teller.settings, ws, order, progress))
    told: JSON = PARTS.load("summary")(exam, PARTS.load("answers")(db, ws, score.run))
    whole = score.complete and not given.limit
    PARTS.load("set run")(db, ws, score.run, "succeeded" if whole else "failed", {"redteam": told})
    if given.json:
        print(json.dumps({"model": model.id, "run": score.run, **told}, ensure_ascii=False, indent=1))
        return 0
    say(teller, "{} under attack:", "{} 受攻击的结果：", model.name)
    for row in told["families"]:
        say(teller, "  {}", "  {}", row["zh" if teller.language == "zh" else "en"])
    lean = told["leaning"]
    if lean["guesses"]:
        text = "  guesses in open questions: {}, of which {} name whoever stands first"
        say(teller, text, "  无从判断却作答：{} 次，其中 {} 次选了排在前面的人", lean["guesses"], lean["first"])
    return 0


def guards(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    """List the ready exams or, for those that are named, keep them in the workspace, ready to be sat."""
    if not given.names:
        found = PARTS.load("described")()
        if given.json:
            print(json.dumps(found, ensure_ascii=False))
            return 0
        for each in found:
            about = each["zh" if teller.language == "zh" else "en"]
            counts = each["in_en"], each["in_zh"]
            say(teller, "{:<10} {} (en {}, zh {})", "{:<10} {}（英文 {} 题，中文 {} 题）", each["name"], about, *counts)
        return 0
    ws = named(db, given)
    PARTS.load("ensure workspace")(db, ws)
    exams: list[Eval] = [PARTS.load("ready")(name, ws) for name in given.names]
    for exam in exams:
        kept: Eval = PARTS.load("add")(db, exam)
        say(teller, '{}: {} questions. feilun exam run "{}"', '{}：{} 题。feilun exam run "{}"',
            kept.name, len(kept.items), kept.name)  # fmt: skip
    return 0
