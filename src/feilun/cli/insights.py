"""The command for insights: what goes wrong in use, and what becomes of it.

This module knows how insights are asked for and told. It does not know how one is found or what a decision writes.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.records import JSON
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "ensure workspace": "feilun.store.workspaces:ensure",
    "call log": "feilun.store.calls.calllog:CallLog",
    "get": "feilun.store.insights.kept:get",
    "find": "feilun.store.insights.kept:find",
    "trace": "feilun.store.traces:get",
    "look": "feilun.feedback.insights:look",
    "given": "feilun.feedback.insights:Given",
    "accept": "feilun.feedback.insights:accept",
    "dismiss": "feilun.feedback.insights:dismiss",
    "examined": "feilun.feedback.insights:examined",
    "encoder": "feilun.feedback.insights:encoder",
    "questions": "feilun.feedback.insights.signs:questions",
    "masked": "feilun.curation.mask:masked",
}.items():
    PARTS.add(_name, _target)
_ACTIONS = ("look", "list", "show", "accept", "dismiss")
_PROPOSALS = ("knowledge", "template", "samples", "exam")
_HELP = """example: feilun insights
example: feilun insights show insight-1f…
example: feilun insights accept insight-1f… --answer "Dogs may come in on a leash." --answer "狗可以牵绳入内。"
example: feilun insights accept insight-1f… --as exam --answer "On a leash." --must-say leash
example: feilun insights dismiss insight-1f… --reason "we do not serve dogs"

Failed, badly rated, unanswered and repeated questions that ask the same come together under a name in the users' own
words. One that is accepted with a right answer becomes corrections, which the next feilun turn trains on, and questions
held back for its exam; show tells whether it shrank. Without an answer the proposal is kept as a note. Calls that must
not be trained on are never used."""


def add_insights(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "insights", insights, "find what goes wrong in use, and decide what becomes of it", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("action", nargs="?", default="look", choices=_ACTIONS, help="what to do (default: look)")
    parser.add_argument("id", nargs="?", default="", metavar="INSIGHT", help="which one")
    parser.add_argument("--answer", action="append", default=[], metavar="TEXT", help="what is right; one a language")
    parser.add_argument("--must-say", action="append", default=[], metavar="WORDS", help="what a right answer holds")
    parser.add_argument("--as", dest="kind", choices=_PROPOSALS, help="what to do instead of what is proposed")
    parser.add_argument("--without", action="append", default=[], metavar="TRACE", help="a call that is something else")
    parser.add_argument("--note", default="", help="what else there is to say")
    parser.add_argument("--reason", default="", help="why it is dismissed")
    parser.add_argument("--status", choices=["open", "faded", "accepted", "dismissed"], help="of those that are listed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def insights(given: argparse.Namespace, teller: Teller) -> int:
    """Do what was asked for."""
    if given.action in {"show", "accept", "dismiss"} and not given.id:
        raise BadRequest("Say which insight.", "feilun insights list names them.")
    deeds = {"look": _look, "list": _list, "show": _show, "accept": _accept, "dismiss": _dismiss}
    with_store(teller.settings, lambda db: deeds[given.action](db, given, teller))
    return 0


def _look(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    # What a killed gateway left in its log counts; a running one brings its own calls in within a moment.
    log = PARTS.load("call log")(teller.settings.root / "calls", f"cli-{os.getpid()}")
    log.drain(db)
    log.close()
    ws = named(db, given)
    PARTS.load("ensure workspace")(db, ws)
    teller.over(teller.text("Looking through the calls; a thousand questions take some seconds."))
    PARTS.load("look")(db, ws, PARTS.load("masked"), PARTS.load("encoder")(teller.settings.embedding))
    _list(db, given, teller)


def _list(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    found = PARTS.load("find")(db, named(db, given), given.status)
    if given.json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=1))
        return
    for one in found:
        _line(one, teller)
    teller.say("{} insights", len(found))


def _line(one: Any, teller: Teller) -> None:
    print(f"{one.id}  {teller.text(one.status)}  {one.name}")
    rated = one.rated.get("of_all_down", 0.0)
    teller.say(
        "  {} failed calls of {} ({:.0%}), {}; {:.0%} of all bad ratings; proposed: {}",
        *(len(one.evidence), one.calls, one.share, teller.text(one.trend["word"]), rated, teller.text(one.proposal)),
    )


def _show(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    ws = named(db, given)
    one = PARTS.load("get")(db, ws, given.id)
    tested = PARTS.load("examined")(db, ws, one)
    if given.json:
        print(json.dumps({**asdict(one), "examined": tested}, ensure_ascii=False, indent=1))
        return
    _line(one, teller)
    for part in one.evidence:
        trace = PARTS.load("trace")(db, ws, part["trace"])
        asked = PARTS.load("masked")(PARTS.load("questions")(trace)[-1:])
        print(f"  {trace.id}  {','.join(part['why'])}  {' '.join(' '.join(asked).split())}")
    if "kind" in one.outcome:
        counts = (len(one.outcome[name]) for name in ("taught", "held", "left_out"))
        teller.say("  {} corrections, {} questions held back for the exam, {} calls left out", *counts)
        for trace_id, reason in one.outcome["left_out"]:
            print(f"    - {trace_id}: {reason}")
    for each in tested:
        _tell_verdict(each, teller)
    before, after = (one.live.get(side) or {} for side in ("before", "after"))
    if after.get("calls"):
        shares = (before.get("share") or 0.0, after.get("share") or 0.0)
        teller.say("  in use: {:.1%} of calls failed at this before, {:.1%} since", *shares)


def _tell_verdict(each: JSON, teller: Teller) -> None:
    shares = (each["before"], each["after"], each["questions"])
    teller.say("  {}: {:.0%} right before, {:.0%} after ({} questions)", each["verdict"], *shares)


def _accept(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    ws = named(db, given)
    texts = (tuple(given.answer), tuple(given.must_say), given.note, given.kind, tuple(given.without))
    done = PARTS.load("accept")(db, ws, given.id, PARTS.load("given")(*texts), PARTS.load("masked"))
    counts = (len(done.outcome[name]) for name in ("taught", "held", "left_out"))
    teller.say("Accepted {}. The next feilun turn learns from it.", done.id)
    teller.say("  {} corrections, {} questions held back for the exam, {} calls left out", *counts)


def _dismiss(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    PARTS.load("dismiss")(db, named(db, given), given.id, given.reason)
    teller.say("Dismissed {}.", given.id)
