"""The commands that turn the wheel: rollout, wheel, upgrade.

This module knows their options, their help and how their results are printed. It does not know when a wheel is due, how
versions are compared, or how an adapter is made: that is imported when a command runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from feilun.cli.commands import in_workspaces, named, when, with_store
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "begin": "feilun.store.rollouts:begin",
    "rollout": "feilun.store.rollouts:get",
    "rollouts": "feilun.store.rollouts:find",
    "by hand": "feilun.store.rollouts:by_hand",
    "ensure workspace": "feilun.store.workspaces:ensure",
    "wheel": "feilun.store.wheel:get",
    "put": "feilun.store.wheel:put",
    "spins": "feilun.store.wheel:spins",
    "due": "feilun.flywheel.triggers:due",
    "look": "feilun.flywheel.wheel:look",
    "upgrade": "feilun.flywheel.upgrade:upgrade",
}.items():
    PARTS.add(_name, _target)
_ROLLOUT = """example: feilun rollout list
example: feilun rollout start model-1f… --endpoint own
example: feilun rollout show rollout-9c…
example: feilun rollout promote rollout-9c… --all
example: feilun rollout rollback rollout-9c… --reason "the board wants the old one"

A new version gets 5 % of an endpoint's conversations, then 50 %, then all; ratings, failures, slow and broken answers
are compared all the while, and it goes back by itself if it does harm. A turn begins this by itself where the endpoint
had enough calls (the setting canary). A version that was promoted gives its place back, too."""
_WHEEL = """example: feilun wheel set --path ./our-files --corrections 20 --every 24 --day-minutes 120
example: feilun wheel on
example: feilun wheel show
example: feilun wheel run

While it is on, feilun up turns the wheel in the background when there are enough new corrections, a new or changed
source, another base model, a shift in what is asked, or after so many hours if anything is new; never for nothing, one
turn at a time, within its budget. run does so now, in the foreground; --anyway also when nothing is new."""
_UPGRADE = """example: feilun upgrade qwen2.5-0.5b-instruct
example: feilun upgrade ./new-base --workspace clinic

Every adapter in use is trained anew on the new base and sits the exams that the present one sat. Those that are better
take over, the others are named with the reason. Run it again after an interruption: it goes on where it stopped."""
_RULES = ("corrections", "every_hours", "turn_minutes", "day_minutes", "turn_money", "day_money", "hour_price")
_SWITCHES = ("source", "drift", "base")


def add_wheel(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands of this module."""
    roll = _made(found, command, "rollout", rollout, "try a version on a share of the calls; promote it, roll it back")
    roll.epilog = _ROLLOUT
    roll.add_argument("action", choices=["list", "show", "start", "promote", "rollback"], help="what to do")
    roll.add_argument("id", nargs="?", default="", metavar="ID", help="rollout-…; to start: a version, model-…")
    roll.add_argument("--endpoint", default="", metavar="NAME", help="the endpoint (default: own, or all)")
    roll.add_argument("--all", action="store_true", help="promote to all calls at once, not to the next share")
    roll.add_argument("--reason", default="", metavar="TEXT", help="why, for whoever reads it later")
    roll.add_argument("--json", action="store_true", help="print JSON")

    wheel_ = _made(found, command, "wheel", wheel, "have the wheel turn by itself: when, on what, within which budget")
    wheel_.epilog = _WHEEL
    wheel_.add_argument("action", choices=["show", "set", "on", "off", "run"], help="what to do")
    wheel_.add_argument("--path", action="append", metavar="PATH", help="what it reads; again for more")
    wheel_.add_argument("--corrections", type=int, metavar="N", help="turn after so many new ones; 0 never for that")
    wheel_.add_argument("--every", dest="every_hours", type=float, metavar="HOURS", help="turn after so many, if new")
    for name, text in (("source", "a new source"), ("drift", "a shift in what is asked"), ("base", "another base")):
        wheel_.add_argument(f"--on-{name}", dest=name, choices=["yes", "no"], help=f"whether {text} turns it")
    for name, text in (("turn", "one turn"), ("day", "a day")):
        wheel_.add_argument(f"--{name}-minutes", type=float, metavar="N", help=f"the budget of {text}; 0 is none")
        wheel_.add_argument(f"--{name}-money", type=float, metavar="SUM", help="the same in money, at --hour-price")
    wheel_.add_argument("--hour-price", type=float, metavar="PRICE", help="what an hour of this machine costs")
    wheel_.add_argument("--anyway", action="store_true", help="run: also when nothing is new")
    wheel_.add_argument("--model", help="base model: a name, a Hugging Face folder or a GGUF file")
    wheel_.add_argument("--json", action="store_true", help="print JSON")

    upgrade_ = _made(found, command, "upgrade", upgrade, "train and prove every adapter anew on another base")
    upgrade_.epilog = _UPGRADE
    upgrade_.add_argument("base", metavar="BASE", help="a name, a Hugging Face folder or a GGUF file")
    upgrade_.add_argument("--adapter", action="append", default=[], metavar="MODEL", help="only this; again for more")
    upgrade_.add_argument("--epochs", type=int, help="training passes over the samples; 0 lets the recipe choose")
    upgrade_.add_argument("--threads", type=int, help="processor threads; 0 is all cores")
    upgrade_.add_argument("--json", action="store_true", help="print JSON")


def _made(
    found: Any,
    command: Callable[..., argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace, Teller], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = command(found, name, run, text, "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")
    return parser


def rollout(given: argparse.Namespace, teller: Teller) -> int:
    """List, show, begin, move on, promote or roll back."""
    if given.action != "list" and not given.id:
        raise BadRequest("Which one?", "feilun rollout list names rollouts; feilun model list names versions.")
    if given.action == "list":
        found = with_store(teller.settings, lambda db: PARTS.load("rollouts")(db, named(db, given), given.endpoint))
    elif given.action == "start":
        begin = PARTS.load("begin")
        found = [in_workspaces(given, teller, lambda db, ws: begin(db, ws, given.endpoint or "own", given.id))]
    elif given.action == "show":
        found = [in_workspaces(given, teller, lambda db, ws: PARTS.load("rollout")(db, ws, given.id))]
    else:
        to = "back" if given.action == "rollback" else "all" if given.all else "next"
        hand = PARTS.load("by hand")
        found = [in_workspaces(given, teller, lambda db, ws: hand(db, ws, given.id, to, given.reason))]
    if given.json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=1))
        return 0
    if not found:
        teller.say("Nothing is or was tried on a share of the calls.")
    for one in found:
        _tell_rollout(teller, one, whole=given.action != "list")
    return 0


def _tell_rollout(teller: Teller, one: Any, *, whole: bool) -> None:
    print(f"{one.id}  {one.endpoint}  {one.model}  {teller.text(one.status)}  {one.share:.0%}  {when(one.created)}")
    for entry in one.history if whole else one.history[-1:]:
        print(f"  {when(entry['time'])}  {entry['zh' if teller.language == 'zh' else 'en']}")
    for name, signal in (one.evidence.get("signals") or {}).items() if whole else ():
        arms = [signal[arm] for arm in ("candidate", "incumbent")]
        shares = ["-" if arm["share"] is None else f"{arm['share']:.1%}" for arm in arms]
        line = "  {}: new {} of {}, present {} of {}, p = {:.3g}"
        counts = [arm["outcomes"] for arm in arms]
        teller.say(line, teller.text(name), shares[0], counts[0], shares[1], counts[1], signal["p"])


def wheel(given: argparse.Namespace, teller: Teller) -> int:
    """Show, set, turn on or off, or run a wheel."""
    rules: JSON = {name: getattr(given, name) for name in _RULES if getattr(given, name) is not None}
    rules |= {name: getattr(given, name) == "yes" for name in _SWITCHES if getattr(given, name)}
    rules |= {"paths": given.path} if given.path else {}
    if rules and given.action not in {"set", "on"}:
        raise BadRequest(f"feilun wheel {given.action} changes no rules.", "Use feilun wheel set.")
    if given.action == "set" and not rules:
        raise BadRequest("Nothing to set.", "feilun wheel set --help lists the rules.")

    def work(db: Any) -> int:
        ws = named(db, given)
        PARTS.load("ensure workspace")(db, ws)
        if given.action == "run":
            return _run(db, ws, given, teller)
        if given.action != "show":
            on = {"on": True, "off": False}.get(given.action)
            PARTS.load("put")(db, ws, on=on, rules=rules)
        _show_wheel(db, ws, given, teller)
        return 0

    return int(with_store(teller.settings, work))


def _show_wheel(db: Any, ws: str, given: argparse.Namespace, teller: Teller) -> None:
    found, turns = PARTS.load("wheel")(db, ws), PARTS.load("spins")(db, ws)
    now = PARTS.load("due")(db, teller.settings, found)
    if given.json:
        print(
            json.dumps({**asdict(found), "due": now.why(), "turns": [asdict(one) for one in turns]}, ensure_ascii=False)
        )
        return
    teller.say("The wheel of {} is on." if found.on else "The wheel of {} is off.", ws)
    for name, value in asdict(found.rules).items():
        print(f"  {name} = {list(value) if isinstance(value, tuple) else value}")
    chinese = teller.language == "zh"
    for one in turns[-5:]:
        told = str(one.outcome.get("reason_zh" if chinese else "reason") or one.outcome.get("message", ""))
        print(f"  {when(one.began)}  {teller.text(one.status)}  {one.why['zh' if chinese else 'en']} {told}")
    teller.say("Now: {}", now.zh if chinese else now.en)


def _run(db: Any, ws: str, given: argparse.Namespace, teller: Teller) -> int:
    look = PARTS.load("look")
    found, spin = asyncio.run(look(db, teller.settings, ws, teller.progress, anyway=given.anyway))
    chinese = teller.language == "zh"
    teller.say("{}", found.zh if chinese else found.en)
    if spin is None:
        return 0
    said = str(spin.outcome.get("reason_zh" if chinese else "reason") or spin.outcome.get("message", ""))
    teller.say("{}: {}", teller.text(spin.status), said)
    if "upgrade" in spin.outcome:
        _tell_upgrade(teller, spin.outcome["upgrade"])
    return 0 if spin.status == "succeeded" else 1


def upgrade(given: argparse.Namespace, teller: Teller) -> int:
    """Train and prove every adapter on another base."""
    make = PARTS.load("upgrade")
    result: JSON = with_store(
        teller.settings,
        lambda db: asyncio.run(
            make(db, teller.settings, named(db, given), given.base, teller.progress, only=given.adapter)
        ),
    )
    if given.json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        _tell_upgrade(teller, result)
    return 0


def _tell_upgrade(teller: Teller, result: JSON) -> None:
    counts = [len(result[group]) for group in ("better", "not_better", "failed")]
    teller.say("On {}: {} better, {} not shown to be better, {} failed.", result["name"], *counts)
    chinese = teller.language == "zh"
    for group, words in (("better", "better"), ("not_better", "not shown to be better"), ("failed", "failed")):
        for one in result[group]:
            told = one.get("reason_zh" if chinese else "reason") or one.get("message", "")
            print(f"  {teller.text(words)}  {one['name']}  {one['adapter']} -> {one.get('model', '-')}  {told}")
