"""``feilun leaderboard``: models against exams, what a right answer costs, and a cell once more.

This module knows how it is asked for and told. It does not know how figures are worked out or a model is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.proof.words import pick, say
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "board": "feilun.evaluation.leaderboard:board",
    "rerun": "feilun.flywheel.again:again",
}.items():
    PARTS.add(_name, _target)
_HELP = """example: feilun leaderboard
example: feilun leaderboard --exam "own exam" --bar 0.6
example: feilun leaderboard rerun own "own exam"

Every model that sat an exam, with the share of right answers and its 95 % interval, and what one right answer cost: in
seconds, in joules where the machine counts them, in money where an endpoint has a price. A model passes the bar if the
lower end of its interval reaches it; the smallest that passes is named. rerun MODEL EXAM has a model answer once more:
the answers are the same, or it says which input has changed."""


def add_leaderboard(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "leaderboard", leaderboard, "compare models over exams, with what a right answer costs", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("do", nargs="*", metavar="rerun MODEL EXAM", help="have a model answer an exam once more")
    parser.add_argument("--exam", default="", metavar="NAME", help="one exam alone (name or id)")
    parser.add_argument("--bar", type=float, metavar="SHARE", help="what must be reached (default: the pass mark)")
    parser.add_argument("--every", action="store_true", help="every version of an exam, and not the newest alone")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def leaderboard(given: argparse.Namespace, teller: Teller) -> int:
    """Show the board, or rerun a cell."""
    if given.do:
        if len(given.do) != 3 or given.do[0] != "rerun":
            raise BadRequest("This is not understood.", 'Write: feilun leaderboard rerun MODEL "EXAM"')
        return int(with_store(teller.settings, lambda db: _rerun(db, given, teller)))
    bar = teller.settings.pass_mark if given.bar is None else given.bar
    if not 0 <= bar <= 1:
        raise BadRequest(f"The bar {bar} is not between 0 and 1.", "For example --bar 0.6.", "bar")

    def show(db: Any) -> None:
        found = PARTS.load("board")(db, named(db, given), bar, given.exam, every=given.every)
        if given.json:
            cells = [{**asdict(cell), "per_right": cell.per_right()} for cell in found.cells]
            print(json.dumps({**asdict(found), "cells": cells}, ensure_ascii=False, indent=1))
        else:
            _show(found, teller)

    with_store(teller.settings, show)
    return 0


def _show(board: Any, teller: Teller) -> None:
    models = {model.id: model for model in board.models}
    if not board.cells:
        say(
            teller,
            "No model has sat an exam yet: feilun turn, or feilun exam run.",
            "还没有模型参加考试：feilun turn 或 feilun exam run。",
        )
        return
    for exam, name in board.exams.items():
        say(teller, "{}  [{}]", "{}  [{}]", name, exam)
        for cell in board.ranked(exam):
            mark = "*" if board.smallest.get(exam) == cell.model else " "
            low, high = cell.interval
            size = _size(models[cell.model].size)
            print(f" {mark} {cell.share:6.1%}  ({low:.1%} - {high:.1%})  {size:>9}  {cell.model}")
            notes = [pick(teller, "{} of {} right", "{1} 题对 {0} 题").format(cell.right, cell.questions)]
            if not cell.complete:
                text = pick(teller, "incomplete: {} of {} answered", "未完成：{1} 题只答了 {0} 题")
                notes = [text.format(cell.answered, cell.questions)]
            print(f"      {'; '.join([*notes, _cost(cell.per_right(), teller)])}")
    if "" in board.smallest:
        model = models[board.smallest[""]]
        english = "The smallest model that passes {:.0%} on all of these: {} ({})"
        say(teller, english, "在全部考试上达到 {:.0%} 的最小模型：{}（{}）", board.bar, model.id, _size(model.size))
    else:
        say(
            teller,
            "No model is shown to pass {:.0%} on all of these.",
            "没有模型能证明在全部考试上达到 {:.0%}。",
            board.bar,
        )
    if all(cell.joules is None for cell in board.cells):
        say(teller, "Joules: this machine does not count them.", "焦耳：本机没有能耗计数。")


def _size(size: int | None) -> str:
    return "?" if size is None else f"{size / 2**20:.0f} MiB"


def _cost(cost: dict[str, float | None], teller: Teller) -> str:
    shown = []
    for name, unit in (("seconds", "s"), ("joules", "J"), ("money", teller.settings.currency)):
        value = cost[name]
        if value is not None:
            shown.append(f"{value:.3g} {unit}")
    if not shown:
        return pick(teller, "cost of a right answer: not measured", "每道正确答案的成本：未测量")
    return pick(teller, "a right answer costs {}", "每道正确答案的成本：{}").format(", ".join(shown))


def _rerun(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    def progress(at: int, of: int) -> None:
        teller.over(f"{at}/{of}")

    found = asyncio.run(PARTS.load("rerun")(db, teller.settings, named(db, given), *given.do[1:], progress))
    if given.json:
        facts: JSON = {**asdict(found), "reproduced": found.reproduced}
        print(json.dumps(facts, ensure_ascii=False, indent=1))
        return 0 if found.reproduced else 1
    say(
        teller,
        "{}: {} of {} answers are the same.",
        "{}：{2} 题中 {1} 题的答案相同。",
        found.run,
        found.same,
        found.questions,
    )
    for name, (before, now) in found.changed.items():
        say(teller, "  changed: {} was {}, is {}", "  已改变：{} 原为 {}，现为 {}", name, before[:16], now[:16])
    if not found.reproduced:
        say(teller, "  {} of those are scored otherwise", "  其中 {} 题的得分不同", found.scores)
        if not found.changed:
            say(
                teller,
                "  No input that is written down has changed: look at what else the machine does, and its libraries.",
                "  有记录的输入都没有改变：请查看本机的其他负载与程序库。",
            )
    return 0 if found.reproduced else 1
