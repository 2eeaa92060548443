"""``feilun advise``: which means of making a model better is worth it.

This module knows how it is asked for and told. It does not know how means are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.proof.words import pick, say
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "advise": "feilun.flywheel.advise:advise",
    "options": "feilun.flywheel.advise:Options",
    "outside": "feilun.flywheel.advise:Outside",
    "questions": "feilun.flywheel.advise:questions",
}.items():
    PARTS.add(_name, _target)
_HELP = """example: feilun advise exam_own.jsonl
example: feilun advise "own exam" --sample 120 --train
example: feilun advise exam_own.jsonl --url http://127.0.0.1:8600/v1 --ask own --key-from FEILUN_KEY

A sample of the questions is put to the model as it is, and then with each means that there is: a prompt that says how
to answer, the nearest passages of your files (those that may be retrieved), a few answered questions, the adapter that
your endpoint serves; with --train also a short training. The promising ones go on to the whole sample. The figures say
what each gains and costs, with intervals that hold for all of them together, and what to do. Run it again after a kill:
it goes on where it was."""


def add_advise(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "advise", advise, "measure which means makes a model better, the cheap ones first", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("exam", metavar="QUESTION-FILE|EXAM", help="JSON lines of questions, or an exam (name or id)")
    parser.add_argument("--sample", type=int, default=60, metavar="N", help="how many questions (default: 60)")
    parser.add_argument("--train", action="store_true", help="try a short training, too")
    parser.add_argument("--least", type=float, default=2, metavar="POINTS", help="a gain worth having (default: 2)")
    parser.add_argument("--model", help="base model: a name, a Hugging Face folder or a GGUF file")
    parser.add_argument("--url", default="", help="ask a model behind this OpenAI-compatible address")
    parser.add_argument("--ask", default="", metavar="NAME", help="with --url: the model's name there")
    parser.add_argument("--key-from", default="FEILUN_KEY", metavar="VARIABLE", help="where the address's key is kept")
    parser.add_argument("--price-in", type=float, metavar="MONEY", help="price of a million tokens of prompts")
    parser.add_argument("--price-out", type=float, metavar="MONEY", help="price of a million tokens of answers")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def advise(given: argparse.Namespace, teller: Teller) -> int:
    """Measure, and say what to do."""
    prices = (given.price_in or 0.0, given.price_out or 0.0)
    if not 0 < given.least < 100 or min(prices) < 0:
        raise BadRequest("--least is a number of points above 0, and prices are not below 0.", "For example --least 2.")
    if bool(given.url) != bool(given.ask):
        raise BadRequest("A model behind an address needs both its address and its name.", "Give --url and --ask.")
    outside = None
    if given.url:
        outside = PARTS.load("outside")(given.url, given.ask, os.environ.get(given.key_from, ""))
    options = PARTS.load("options")(
        sample=given.sample,
        train=given.train,
        least=given.least / 100,
        outside=outside,
        prices=prices if any(prices) else None,
    )

    def work(db: Any) -> JSON:
        ws = named(db, given)
        exam = PARTS.load("questions")(db, ws, given.exam)
        told: Callable[[JSON], None] = (lambda _: None) if given.json else _progress(teller)
        found: JSON = asyncio.run(PARTS.load("advise")(db, teller.settings, ws, exam, options, told))
        return found

    found = with_store(teller.settings, work)
    if given.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    _show(found, teller)
    return 0


def _progress(teller: Teller) -> Callable[[JSON], None]:
    """Return what shows how far it is: a line that is replaced or, where the output is no terminal, one a means."""

    def told(message: JSON) -> None:
        if sys.stdout.isatty() or "exam" not in message:
            teller.progress(message)
        elif message["at"]:
            say(teller, "{}: {} of {} questions", "{}：{} / {} 题", message["exam"], message["at"], message["of"])

    return told


def _show(found: JSON, teller: Teller) -> None:
    for number, each in enumerate(found["means"]):
        mark = "*" if each["name"] == found["recommendation"]["means"] else " "
        low, high = (100 * end for end in each["interval"])
        gain = f"  {100 * each['gain']:+5.1f} ({low:+.1f} .. {high:+.1f})" if number else ""
        name = f"{each['about'][teller.language == 'zh']} [{each['name']}]"
        print(f" {mark} {each['share']:4.0%}{gain}  {name}: {_cost(each, teller)}")
    say(teller, "{}", "{}", found["recommendation"]["zh" if teller.language == "zh" else "en"])


def _cost(each: JSON, teller: Teller) -> str:
    """Return what a means takes, and what that gives."""
    parts = [
        pick(teller, "{:.0f} tokens, {:.2f} s a question", "每题 {:.0f} 个词元，{:.2f} 秒").format(
            each["tokens"], each["seconds"]
        )
    ]
    if each["setup"]:
        parts.append(pick(teller, "{:.0f} s once", "一次性 {:.0f} 秒").format(each["setup"]))
    if each["money"] is not None:
        text = pick(teller, "{:.3g} {} for a thousand questions", "每千题 {:.3g} {}")
        parts.append(text.format(each["money"], teller.settings.currency))
    if each["points_per_100_tokens"] is not None:
        text = pick(teller, "{:+.1f} points for 100 tokens more", "每多 100 个词元 {:+.1f} 个百分点")
        parts.append(text.format(each["points_per_100_tokens"]))
    if each["stopped"]:
        parts.append(pick(teller, "given up after {} questions", "答 {} 题后放弃").format(each["questions"]))
    return pick(teller, ", ", "，").join(parts)
