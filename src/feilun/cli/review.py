"""The command that runs the review queue: its options, its help, what it reads and prints.

This module knows how rows and decisions are written down by people. It does not know what decisions come to: that is
imported when the command runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from feilun.cli.commands import named, with_store
from feilun.cli.words import Teller
from feilun.errors import BadRequest, BadSource
from feilun.records import JSON, Source, derived_id
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "ensure workspace": "feilun.store.workspaces:ensure",
    "member": "feilun.store.access.members:resolve",
    "look": "feilun.curation.scan:look",
    "add source": "feilun.store.sources:add",
    "item": "feilun.store.review:ReviewItem",
    "decision": "feilun.store.review:Decision",
    "suggestion": "feilun.store.review:Suggestion",
    "annotation": "feilun.store.review:Annotation",
    "find": "feilun.store.review.queue:find",
    "check": "feilun.feedback.review:checked",
    "add": "feilun.feedback.review:add",
    "next": "feilun.feedback.review:following",
    "decide": "feilun.feedback.review:decide",
    "skip": "feilun.feedback.review:skip",
    "flag": "feilun.feedback:flag_feedback",
    "flag dataset": "feilun.feedback:flag_dataset",
    "operators": "feilun.curation.recipes:operators",
    "agreement": "feilun.feedback:agreement",
    "standings": "feilun.feedback:standings",
    "export": "feilun.feedback:export",
}.items():
    PARTS.add(_name, _target)
_ACTIONS = ("next", "decide", "list", "add", "agreement", "export")
_DECISIONS = ("label", "correct", "prefer", "accept", "reject", "skip")
_SHORT = 80
_HELP = """example: feilun review add rows.jsonl --kind label --options good,bad --needed 2
example: feilun review add --feedback
example: feilun review add --dataset dataset-1f…
example: feilun review next --as Ann
example: feilun review decide review-1f… label good --as Ann
example: feilun review decide review-1f… reject --reason "cut off in the middle" --as Ann
example: feilun review list --status unsettled
example: feilun review agreement
example: feilun review export labelled --queue review

A line of rows.jsonl is a row: {"text": …} or {"messages": […]}, for prefer with two answers "a" and "b". "gold" is the
known answer of a row that measures annotators, "suggestion" what the model "by" would decide. The file becomes a source
of the workspace, with what feilun.permissions.yaml beside it permits. Nobody is given a row twice; what two people
disagree on goes to a third."""


def add_review(found: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the others."""
    parser = command(found, "review", review, "have people label, correct, compare and check rows", "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("words", nargs="*", metavar="WORD", help="a file; a row, a decision and its value; a name")
    parser.add_argument("--queue", default="", metavar="NAME", help="which queue (default: any; for add: review)")
    parser.add_argument("--as", dest="who", default="", metavar="WHO", help="who decides: a member's name or id")
    parser.add_argument("--reason", default="", help="why a row is rejected or skipped")
    parser.add_argument("--kind", default="accept", choices=["label", "correct", "prefer", "accept"], help="what to do")
    parser.add_argument("--options", default="", metavar="A,B,…", help="the labels, in order")
    parser.add_argument("--scale", default="nominal", choices=["nominal", "ordinal", "interval"], help="of the labels")
    parser.add_argument("--needed", type=int, default=1, metavar="N", help="how many people decide about a row")
    parser.add_argument("--why", default="", help="why the rows are here")
    parser.add_argument("--feedback", action="store_true", help="add answers that people judged bad or corrected")
    parser.add_argument("--dataset", default="", metavar="ID", help="add what operators flagged in a dataset version")
    parser.add_argument("--status", choices=["open", "disputed", "unsettled", "done", "withdrawn"], help="of rows")
    parser.add_argument("--purpose", default="train", choices=["train", "retrieve", "evaluate"], help="of a dataset")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--workspace", default="", metavar="NAME", help="the workspace (default: default, or any)")


def review(given: argparse.Namespace, teller: Teller) -> int:
    """Do what was asked for."""
    deeds = {"next": _next, "decide": _decide, "list": _list, "add": _add, "agreement": _agreement, "export": _export}
    with_store(teller.settings, lambda db: deeds[given.action](db, given, teller))
    return 0


def _who(db: Any, ws: str, given: argparse.Namespace) -> str:
    """Return who decides; without a name it is whoever has this machine."""
    return str(PARTS.load("member")(db, ws, given.who).id) if given.who else "cli"


def _next(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    ws = named(db, given)
    found = PARTS.load("next")(db, ws, _who(db, ws, given), given.queue)
    if found is None:
        teller.say("No row waits for you.")
        return
    item, until = found
    told: JSON = {"id": item.id, "queue": item.queue, "kind": item.kind, "why": item.why.get(teller.language, "")}
    told |= {"options": list(item.options), "row": item.row, "until": until}
    if item.suggestion:
        told["suggestion"] = asdict(item.suggestion)
    print(json.dumps(told, ensure_ascii=False, indent=1))


def _decide(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    item_id, action, value = [*given.words, "", "", ""][:3]
    if len(given.words) > 3 or action not in _DECISIONS:
        raise BadRequest("Say which row and what is decided.", "feilun review decide review-1f… label good")
    ws = named(db, given)
    who = _who(db, ws, given)
    if action == "skip":
        PARTS.load("skip")(db, ws, item_id, who, given.reason)
        teller.say("Skipped {}.", item_id)
        return
    decision = PARTS.load("decision")(action, value)
    PARTS.load("decide")(db, ws, PARTS.load("annotation")(item_id, who, "decided", 0.0, decision, given.reason))
    teller.say("Decided {}.", item_id)


def _list(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    found = PARTS.load("find")(db, named(db, given), given.queue, given.status)
    for item in found:
        if given.json:
            print(json.dumps(asdict(item), ensure_ascii=False))
            continue
        said = [m["content"] for m in item.row.get("messages", [])]
        text = " ".join(" | ".join([*said, item.row.get("text", "")]).split())[:_SHORT]
        value = (item.result or {}).get("value") or "-"
        print(f"{item.id}  {item.queue}  {item.kind:<7}  {item.status:<9}  {value[:_SHORT]}  {text}")
    if not given.json:
        teller.say("{} rows", len(found))


def _add(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    if given.feedback + bool(given.dataset) + len(given.words) != 1:
        raise BadRequest("Give a file of rows, --feedback or --dataset.", "feilun review add rows.jsonl --kind accept")
    ws = named(db, given)
    PARTS.load("ensure workspace")(db, ws)
    if given.feedback:
        found = PARTS.load("flag")(db, ws, None, given.queue or "feedback", given.needed)
        teller.say("{} rows in the queue, {} left out", len(found.items), len(found.left_out))
        return
    if given.dataset:
        like = PARTS.load("item")("", ws, given.queue or "flagged", given.kind, {}, (), {}, needed=given.needed)
        kept = PARTS.load("flag dataset")(db, given.dataset, like, _words)
        teller.say("{} rows in the queue, {} left out", len(kept), 0)
        return
    path = Path(given.words[0])
    survey = PARTS.load("look")([path])
    if path.is_dir() or not survey.found:
        raise BadSource(f"{path} is no file of rows.", "Give a file of JSON lines.")
    data = path.read_bytes()
    source = Source(derived_id("source", "rows", ws, path.name, hashlib.sha256(data).hexdigest()), ws, path.name, "", 0)
    like = PARTS.load("item")(
        id="",
        workspace=ws,
        queue=given.queue or "review",
        kind=given.kind,
        row={},
        sources=(source.id,),
        why={"en": given.why, "zh": given.why},
        options=tuple(option.strip() for option in given.options.split(",") if option.strip()),
        scale=given.scale,
        needed=given.needed,
    )
    items = [_item(like, line, number) for number, line in _lines(data)]
    if not items:
        raise BadSource(f"{path} holds no row.", 'Each line is a row, such as {"text": "…"}.')
    PARTS.load("add source")(db, source, data, inherited=survey.found[0].said)
    kept = PARTS.load("add")(db, ws, items)
    teller.say("{} rows in the queue, {} left out", len(kept), len(items) - len({one.id for one in kept}))


def _words(operator: str, reason: str) -> tuple[str, str]:
    """Return an operator's words for its reason, in English and Chinese."""
    known = PARTS.load("operators")().get(operator)
    found: tuple[str, str] = known.reasons.get(reason, (reason, reason)) if known else (reason, reason)
    return found


def _lines(data: bytes) -> list[tuple[int, bytes]]:
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _item(like: Any, line: bytes, number: int) -> Any:
    """Return the item that a line of a file is, all else as in ``like``; raise BadRequest that names the line."""
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise BadRequest("this is not a JSON object.")
        gold, hint = row.pop("gold", None), row.pop("suggestion", None)
        by = row.pop("by", None) if hint is not None else None
        by = str((hint.get("by") if isinstance(hint, dict) else None) or by or "model")
        item = replace(
            like,
            row=row,
            gold=None if gold is None else _given(like.kind, gold),
            suggestion=None if hint is None else PARTS.load("suggestion")(_given(like.kind, hint), by),
            created=time.time(),
        )
        PARTS.load("check")(item)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"Line {number}: this is not JSON.", "One JSON object per line.") from error
    except BadRequest as error:
        raise BadRequest(f"Line {number}: {error.message}", error.hint, error.param) from error
    return item


def _given(kind: str, given: Any) -> Any:
    """Return a decision that is written as its value, or whole."""
    if isinstance(given, dict):
        return PARTS.load("decision")(str(given.get("action") or kind), str(given.get("value") or ""))
    if kind == "accept":
        return PARTS.load("decision")("reject" if given is False or given == "reject" else "accept")
    return PARTS.load("decision")(kind, str(given))


def _agreement(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    ws = named(db, given)
    found = [asdict(one) for one in PARTS.load("agreement")(db, ws, given.queue)]
    people = [asdict(one) for one in PARTS.load("standings")(db, ws, given.queue)]
    if given.json:
        print(json.dumps({"agreement": found, "annotators": people}, ensure_ascii=False, indent=1))
        return
    for one in found:
        line = "{}, {}: alpha {} ({}), {} rows by {} people, all agree on {}"
        words = (one["queue"], one["kind"], _figure(one["alpha"]), one["scale"], one["rows"], one["people"])
        teller.say(line, *words, _share(one["agreed"]))
    for one in people:
        line = "{}: {} decided, {} skipped, known answers {} of {} right ({} to {})"
        counts = (one["annotator"], one["decided"], one["skipped"], one["right"], one["gold"])
        teller.say(line, *counts, _share(one["low"]), _share(one["high"]))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _export(db: Any, given: argparse.Namespace, teller: Teller) -> None:
    if len(given.words) != 1:
        raise BadRequest("Give the dataset a name.", "feilun review export labelled")
    made = PARTS.load("export")(db, named(db, given), given.words[0], given.queue, given.purpose)
    teller.say(
        "{}: version {} of {}, {} rows", made.version.id, made.version.version, made.version.name, made.version.rows
    )
    for item_id, reason in made.left_out:
        print(f"  {item_id}  {reason}")
