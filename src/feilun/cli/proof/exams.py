"""``feilun exam``: bring exams in, look at them, have a model sit one.

This module knows how these are asked for and told. It does not know forms of exams or how answers are graded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.proof.authoring import author
from feilun.cli.proof.calibrating import calibrate
from feilun.cli.proof.guards import guards
from feilun.cli.proof.sitting import Order, find_exam, find_model, sit
from feilun.cli.proof.words import pick, say
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON, Eval
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "read": "feilun.evaluation.formats:read_exam",
    "wishes": "feilun.evaluation.formats:Wishes",
    "add": "feilun.store.evals:add_named",
    "find": "feilun.store.evals:find",
    "ensure workspace": "feilun.store.workspaces:ensure",
    "possible": "feilun.evaluation.likely:by_likelihood",
}.items():
    PARTS.add(_name, _target)
_HELP = """example: feilun exam import questions.csv --name "our products"
example: feilun exam import cmmlu/test --dev cmmlu/dev --shots 5 --name cmmlu
example: feilun exam import task.yaml --data questions.jsonl
example: feilun exam list
example: feilun exam show "our products"
example: feilun exam run "our products" --model own --by likelihood
example: feilun exam calibrate verdicts.csv
example: feilun exam guards
example: feilun exam author draft "our house rules"
example: feilun exam author make "our house rules"
example: feilun exam guards premises refusal

import takes CSV, JSON and JSON lines with whatever fields they have: options, answers, spans of passages, numbers,
formulas, rubrics, tools, code with tests; and tasks of lm-evaluation-harness (.yaml), whose data must be local files.
What cannot be used is named by its line. An exam of a name that exists is its new version; if it asks mostly other
questions, say so (--new-version) or choose another name. An exam is never trained on (--not-sealed permits it).
author draft makes questions of the workspace's documents and FAQ (--data NAME: of rows that feilun synthesise made) and
puts them into the review queue "exam NAME"; author make keeps those that a person accepted, sealed.
guards lists the ready exams in English and Chinese; those that are named can then be run as "guard NAME".
calibrate takes rows with the columns judge and human, and says how far a judge agrees with people.
run has a model answer by log-probability (exams with options) or in words, and goes on where it ended."""


def add_exam(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "exam", exam, "bring in exams, look at them, have a model sit one", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    todo = ["import", "list", "show", "run", "guards", "author", "calibrate"]
    parser.add_argument("do", choices=todo, help="what to do")
    parser.add_argument("names", nargs="*", metavar="FILE|NAME", help="files to import, or the exam")
    parser.add_argument("--name", default="", metavar="NAME", help="what the exam is to be called")
    parser.add_argument("--dev", action="append", default=[], metavar="FILE", help="where solved examples are")
    parser.add_argument("--shots", type=int, default=0, metavar="N", help="how many solved examples stand before each")
    parser.add_argument("--grader", default="", help="another grader: contains, exact, f1, math, numeric")
    parser.add_argument(
        "--first", type=int, choices=[0, 1], help="the number of the first option, if right ones are numbers"
    )
    parser.add_argument("--field", default="", metavar="NAME", help="where in a JSON object the questions are")
    parser.add_argument("--data", metavar="PATH", help="the data of a task, instead of what it names")
    parser.add_argument("--new-version", action="store_true", help="it takes the place of the exam of that name")
    parser.add_argument("--not-sealed", action="store_true", help="it may be trained on")
    parser.add_argument("--model", dest="sitter", default="", metavar="NAME", help="who sits it (default: the base)")
    parser.add_argument("--by", choices=["likelihood", "words"], help="how it is answered (default: as it fits)")
    parser.add_argument("--judge", default="", metavar="NAME", help="which model judges, where the exam needs one")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="by likelihood")
    parser.add_argument("--tokens", type=int, default=48, metavar="N", help="of an answer in words (default: 48)")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the first questions only")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def exam(given: argparse.Namespace, teller: Teller) -> int:
    """Do what was asked for."""
    if min(given.shots, given.limit) < 0 or given.tokens < 1:
        raise BadRequest("--shots and --limit are numbers from 0 up, --tokens from 1 up.")
    if given.do == "import" and not given.names:
        raise BadRequest("No file is named.", "Write: feilun exam import FILE… --name NAME")
    if given.do in {"show", "run"} and len(given.names) != 1:
        raise BadRequest("One exam is needed.", f"Write: feilun exam {given.do} NAME. feilun exam list names them.")
    if given.do == "calibrate":
        return calibrate(given, teller)
    work = {"import": _import, "list": _list, "show": _show, "run": _run, "guards": guards, "author": author}[given.do]
    return int(with_store(teller.settings, lambda db: work(db, given, teller)))


def _import(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    ws = named(db, given)
    paths = [Path(name) for name in given.names]
    wishes = PARTS.load("wishes")(
        dev=tuple(Path(name) for name in given.dev),
        shots=given.shots,
        grader=given.grader,
        field=given.field,
        data=Path(given.data) if given.data else None,
        sealed=not given.not_sealed,
        first=given.first,
    )
    if given.shots and not given.dev:
        raise BadRequest(
            "--shots needs --dev: a file or folder with solved examples.", "They must not be the exam's own."
        )
    found = PARTS.load("read")(paths, ws, given.name or paths[0].stem, wishes)
    PARTS.load("ensure workspace")(db, ws)
    kept, last = PARTS.load("add")(db, found.exam, new_version=given.new_version)
    if given.json:
        facts = {**_facts(kept), "warnings": list(found.warnings), "replaces": last.id if last else ""}
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    say(teller, "{}: {} questions, version {}.", "{}：{} 题，版本 {}。", kept.name, len(kept.items), _version(kept))
    for kind, count in _kinds(kept).most_common():
        say(teller, "  {}: {}", "  {}：{}", kind, count)
    if last:
        say(
            teller,
            "It takes the place of version {} ({} questions), which is sealed no more.",
            "它取代版本 {}（{} 题）；原版本不再封存。",
            *(_version(last), len(last.items)),
        )
    for warning in found.warnings:
        say(teller, "Note: {}", "注意：{}", warning)
    return 0


def _kinds(found: Eval) -> Counter[str]:
    return Counter(str((item.meta.get("grader") or {"type": "contains"})["type"]) for item in found.items)


def _version(found: Eval) -> str:
    return str(found.meta.get("version") or found.id)[:12]


def _facts(found: Eval) -> JSON:
    return {
        "id": found.id,
        "name": found.name,
        "questions": len(found.items),
        "version": found.meta.get("version", ""),
        "sealed": bool(found.meta.get("sealed", True)),
        "kind": found.meta.get("kind", "own"),
        "graders": dict(_kinds(found)),
        "files": found.meta.get("files", []),
    }


def _list(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    found: list[Eval] = PARTS.load("find")(db, named(db, given))
    if given.json:
        print(json.dumps([_facts(each) for each in found], ensure_ascii=False))
        return 0
    for each in found:
        sealed = each.meta.get("sealed", True)
        mark = pick(teller, "sealed", "已封存") if sealed else pick(teller, "not sealed", "未封存")
        kinds = ", ".join(kind for kind, _ in _kinds(each).most_common(3)) or "-"
        say(
            teller,
            "{}  {} questions  {}  {}  {}",
            "{}  {} 题  {}  {}  {}",
            each.name,
            len(each.items),
            kinds,
            mark,
            _version(each),
        )
    if not found:
        say(teller, "There is no exam yet: feilun exam import FILE", "还没有考试：feilun exam import 文件")
    return 0


def _show(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    found = find_exam(db, named(db, given), given.names[0])
    shown = found.items[: given.limit or 3]
    if given.json:
        print(json.dumps({**_facts(found), "items": [asdict(item) for item in shown]}, ensure_ascii=False))
        return 0
    for name, value in _facts(found).items():
        teller.say("{}", f"{name}: {json.dumps(value, ensure_ascii=False)}")
    for item in shown:
        teller.say("{}", "")
        teller.say("{}", item.question)
        say(teller, "Right: {}", "正确答案：{}", " | ".join(item.accept))
    return 0


def _run(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    ws = named(db, given)
    found = find_exam(db, ws, given.names[0])
    model = find_model(db, teller.settings, ws, given.sitter)
    judge = find_model(db, teller.settings, ws, given.judge) if given.judge else None
    possible = all(PARTS.load("possible")(item) for item in found.items)
    by = given.by or ("likelihood" if possible and found.items else "words")
    order = Order(found, model, by, judge, given.precision, given.tokens, given.limit)
    last = [0.0]

    def progress(at: int, of: int) -> None:
        if not given.json and (time.monotonic() - last[0] > 2 or at >= of):
            last[0] = time.monotonic()
            say(teller, "{} of {} questions", "第 {} / {} 题", at, of)

    score = asyncio.run(sit(db, teller.settings, ws, order, progress))
    if given.json:
        facts = {**asdict(score), "complete": score.complete, "model": model.id, "exam": found.id, "by": by}
        print(json.dumps(facts, ensure_ascii=False))
        return 0 if score.complete else 1
    low, high = score.interval
    say(
        teller,
        "{} on {}, by {}: {:.1%} (95 % interval {:.1%} to {:.1%}, {} questions)",
        "{}，{}，方式 {}：{:.1%}（95% 区间 {:.1%} 至 {:.1%}，{} 题）",
        *(model.name, found.name, by, score.score, low, high, score.questions),
    )
    for name, value in score.scores.items():
        teller.say("{}", f"  {name} {value:.4f}")
    if not score.complete:
        say(
            teller,
            "{} answers could not be graded and {} are missing: this run proves nothing. Run the same command again.",
            "有 {} 个答案无法评分，{} 个缺失：这次考试不能证明任何事。请再次运行同一命令。",
            *(score.errored, score.missing),
        )
        return 1
    return 0
