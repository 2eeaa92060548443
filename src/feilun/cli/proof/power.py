"""``feilun power``: what an exam can show before anybody sits it.

This module knows how it is asked for and told. It does not know how chances are worked out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.proof.words import say
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "outlook": "feilun.evaluation.outlook:outlook",
    "plan": "feilun.evaluation.statistics:plan",
}.items():
    PARTS.add(_name, _target)
_HELP = """example: feilun power 60
example: feilun power "own exam"
example: feilun power 200 --lost 5

How small a difference between two models an exam shows 8 times in 10, before anybody sits it. The fewer answers get
worse by chance, the smaller the differences that can be seen; for an exam that models have sat already, that share and
how far its questions hang together are taken from their answers."""


def add_power(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "power", power, "say how small a difference an exam can show", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("exam", metavar="EXAM|N", help="an exam (name or id), or a number of questions")
    parser.add_argument(
        "--lost", type=float, metavar="POINTS", help="answers of 100 that get worse (default: as known, or 2)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def power(given: argparse.Namespace, teller: Teller) -> int:
    """Say what can be seen."""
    if given.lost is not None and not 0 <= given.lost <= 40:
        raise BadRequest(f"--lost {given.lost} is not from 0 to 40.", "2 means: 2 answers of 100 get worse.", "lost")
    loss = None if given.lost is None else given.lost / 100
    if given.exam.isdecimal():
        if not 1 <= int(given.exam) <= 100_000:
            raise BadRequest(f"{given.exam} is no number of questions.", "Give 1 to 100000, or the name of an exam.")
        found = PARTS.load("plan")(int(given.exam), 0.02 if loss is None else loss)
        known = False
    else:
        found, known = with_store(
            teller.settings, lambda db: PARTS.load("outlook")(db, named(db, given), given.exam, loss)
        )
    if given.json:
        facts: JSON = asdict(found)
        print(json.dumps({**facts, "known": known}, ensure_ascii=False))
        return 0
    teller.say("{}", found.said(teller.language))
    if known:
        english = "(8 times in 10, if {:.1%} of answers get worse, as before; variance {:.1f}-fold by clusters.)"
        chinese = "（十次中八次，假定答案变差的比例与此前相同：{:.1%}；题目相互关联使方差增至 {:.1f} 倍。）"
    else:
        english = "(8 times in 10, if {:.1%} of answers get worse; variance {:.1f}-fold by clusters.)"
        chinese = "（十次中八次，假定 {:.1%} 的答案变差；题目相互关联使方差增至 {:.1f} 倍。）"
    say(teller, english, chinese, found.loss, found.effect)
    return 0
