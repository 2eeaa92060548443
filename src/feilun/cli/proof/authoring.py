"""``feilun exam author``: drafts of exam questions for people to accept, and the exam of those that they accepted.

This module knows how it is asked for and told. It does not know how questions are made or reviewed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

from feilun.cli.commands import named
from feilun.cli.proof.words import say
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "draft": "feilun.curation.authoring:draft_exam",
    "items": "feilun.curation.authoring:review_items",
    "queue": "feilun.curation.authoring.draft:queue_name",
    "most": "feilun.curation.authoring.draft:MOST",
    "make": "feilun.curation.authoring:authored_exam",
    "add": "feilun.feedback.review:add",
    "check name": "feilun.store.evals:check_name",
}.items():
    PARTS.add(_name, _target)


def author(db: Any, given: argparse.Namespace, teller: Teller) -> int:
    """Draft an exam's questions, or make the exam of those that were accepted."""
    if len(given.names) != 2 or given.names[0] not in {"draft", "make"}:
        raise BadRequest(
            "This is not understood.", "Write: feilun exam author draft NAME, or: feilun exam author make NAME"
        )
    return (_draft if given.names[0] == "draft" else _make)(db, named(db, given), given, teller)


def _draft(db: Any, ws: str, given: argparse.Namespace, teller: Teller) -> int:
    name = given.names[1]
    PARTS.load("check name")(name)
    most = given.limit or PARTS.load("most")
    drafts = PARTS.load("draft")(db, ws, most, given.data or "")
    kept = PARTS.load("add")(db, ws, PARTS.load("items")(ws, name, drafts))
    queue = PARTS.load("queue")(name)
    if given.json:
        print(json.dumps({"queue": queue, "drafts": [draft.as_json() for draft in drafts]}, ensure_ascii=False))
        return 0
    say(teller, "{} drafts wait in the queue “{}”.", "{} 道草稿在队列“{}”中等待审核。", len(kept), queue)
    for level, many in sorted(Counter(draft.difficulty for draft in drafts).items()):
        say(teller, "  difficulty {}: {}", "  难度 {}：{}", level, many)
    say(
        teller,
        'Next: feilun review next --queue "{}" --as NAME',
        '下一步：feilun review next --queue "{}" --as 姓名',
        queue,
    )
    return 0


def _make(db: Any, ws: str, given: argparse.Namespace, teller: Teller) -> int:
    made = PARTS.load("make")(db, ws, given.names[1])
    counts = {name: getattr(made, name) for name in ("waiting", "rejected", "contradictory", "forbidden")}
    if given.json:
        facts = {"exam": made.exam.id, "name": made.exam.name, "questions": len(made.exam.items), **counts}
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    say(teller, "{}: {} questions, sealed ({}).", "{}：{} 题，已封存（{}）。",
        made.exam.name, len(made.exam.items), made.exam.id)  # fmt: skip
    text = "  not in it: {} wait, {} rejected, {} contradict each other, {} not permitted any more"
    say(teller, text, "  未收入：待审 {}，拒绝 {}，互相矛盾 {}，不再允许 {}", *counts.values())
    return 0
