"""What people have decided becomes records, and figures about how they decide.

This module knows results of reviews. It does not know how they came about, nor what the records are used for.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from feilun.errors import NothingUsable
from feilun.feedback.agreement import Metric, alpha, wilson
from feilun.feedback.review import number, same
from feilun.records import JSON, DatasetVersion, Purpose, Record, derived_id
from feilun.store import Database, datasets, lineage
from feilun.store.review import Annotation, Decision, ReviewItem, queue
from feilun.store.sources import Rights


@dataclass(frozen=True, slots=True)
class Exported:
    """A dataset version made of decided rows, and the rows (item ids) that are not in it, each with the reason."""

    version: DatasetVersion
    left_out: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far people agree on the rows of one kind in a queue that at least two of them decided about.

    ``alpha`` is Krippendorff's, None where it is not defined; ``agreed`` is the share of rows on which all said the
    same. Only the decisions that a row needed in the first place count: who decides a dispute is not independent.
    """

    queue: str
    kind: str
    scale: Metric
    rows: int
    decisions: int
    people: int
    agreed: float | None
    alpha: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What one person did, and how often they were right (share, 95 % interval) on rows whose answer is known.

    ``seconds`` is the median time for a decision, ``as_settled`` the share of their decisions that became the result,
    ``suggestions`` the share of decisions with a suggestion before them that are the same as it.
    """

    annotator: str
    decided: int
    skipped: int
    gold: int
    right: int
    accuracy: float | None
    low: float
    high: float
    seconds: float | None
    as_settled: float | None
    suggestions: float | None


def record_of(item: ReviewItem) -> Record | None:
    """Return the record that a finished item is; None for a row that was rejected, or a tie.

    A labelled row has ``meta["label"]``; a preference has the better answer as its last message or text, and the other
    one in ``meta["rejected"]``; so has a corrected row. ``meta["review"]`` tells how it came about, also whether a
    model had suggested what a person accepted.
    """
    result = item.result or {"action": "reject"}
    action, value = result["action"], result.get("value", "")
    if item.status != "done" or item.gold is not None or action == "reject" or (value == "tie" and action == "prefer"):
        return None
    messages: list[JSON] = list(item.row.get("messages") or [])
    text = str(item.row.get("text") or "")
    meta: JSON = dict(item.row.get("meta") or {})
    if action == "label":
        meta["label"] = value
    elif action == "prefer":
        better, worse = (item.row[side] for side in ("ab" if value == "a" else "ba"))
        meta["rejected"] = worse
        messages, text = _answered(messages, better) if messages else messages, text if messages else better
    elif action == "correct":
        before = messages[-1]["content"] if messages else text
        messages, text = _answered(messages[:-1], value) if messages else messages, text if messages else value
        if same(Decision("correct", before)) != same(Decision("correct", value)):
            meta["rejected"] = before
    told = {name: each for name, each in result.items() if name not in {"action", "value", "resolved_by", "reason"}}
    meta["review"] = {"item": item.id, "queue": item.queue, "action": action, **told}
    record_id = derived_id("record", "review", item.id, action, value)
    return Record(record_id, "chat" if messages else "passage", item.sources, tuple(messages), text, meta)


def _answered(messages: Sequence[JSON], answer: str) -> list[JSON]:
    return [*messages, {"role": "assistant", "content": answer}]


def export(db: Database, ws: str, name: str, queue_name: str = "", purpose: Purpose = "train") -> Exported:
    """Write the finished rows (of a queue) that may be used for a purpose as a dataset version, linked to each row.

    Raises NothingUsable if there is none, BadRequest for a name or purpose that is none, OutOfSpace.
    """
    made = {record.id: (record, item) for item, record in _finished(db, ws, queue_name)}
    records = [made[record_id][0] for record_id in sorted(made)]
    with db.reading() as conn:
        kept, refused = Rights(conn, ws).filter(records, purpose)
    if not kept:
        why = f" ({len(refused)} may not be used for {purpose})" if refused else ""
        raise NothingUsable(f"No finished row can be used{why}.", "GET /api/review/items shows what waits.")
    version, also = datasets.write(db, ws, name, kept, purpose, {"origin": "review", "queue": queue_name})
    left_out = [(made[record.id][1].id, reason) for record, reason in (*refused, *also)]
    gone = {item_id for item_id, _ in left_out}
    edges = [
        (item.id, version.id, "suggestion accepted" if _accepted(item) else "reviewed")
        for _, item in made.values()
        if item.id not in gone
    ]
    lineage.link(db, ws, edges)
    return Exported(version, left_out)


def _finished(db: Database, ws: str, name: str) -> Iterable[tuple[ReviewItem, Record]]:
    for item in queue.find(db, ws, name, "done"):
        record = record_of(item)
        if record is not None:
            yield item, record


def _accepted(item: ReviewItem) -> bool:
    return (item.result or {}).get("suggestion") == "accepted"


def agreement(db: Database, ws: str, name: str = "") -> list[Agreement]:
    """Return how far people agree, by queue and kind (and scale with its labels), in their order."""
    made = _by_item(queue.decisions(db, ws))
    groups: defaultdict[tuple[Any, ...], list[ReviewItem]] = defaultdict(list)
    for item in queue.find(db, ws, name):
        if item.gold is None:
            labels = item.options if item.scale != "nominal" and item.kind == "label" else ()
            groups[item.queue, item.kind, item.scale, labels].append(item)
    return [_agreement(groups[group], made) for group in sorted(groups)]


def _agreement(items: Sequence[ReviewItem], made: dict[str, list[Annotation]]) -> Agreement:
    first = items[0]
    units: list[list[Any]] = []
    people: set[str] = set()
    whole = 0
    for item in items:
        given = made.get(item.id, [])[: item.needed]
        if len(given) < 2:
            continue
        people.update(one.annotator for one in given)
        keys = [same(one.decision) for one in given if one.decision]
        whole += len(set(keys)) == 1
        units.append([_value(item, one.decision) for one in given if one.decision])
    return Agreement(
        queue=first.queue,
        kind=first.kind,
        scale=first.scale,
        rows=len(units),
        decisions=sum(map(len, units)),
        people=len(people),
        agreed=whole / len(units) if units else None,
        alpha=alpha(units, first.scale),
    )


def _value(item: ReviewItem, decision: Decision) -> Any:
    """Return a decision as alpha compares it; a rejected row has no place on a scale."""
    if item.kind != "label" or item.scale == "nominal":
        return same(decision)
    return number(item, decision) if decision.action == "label" else None


def standings(db: Database, ws: str, name: str = "") -> list[Standing]:
    """Return how each annotator does, by name; of one who has only been given rows there is nothing to say yet."""
    items = {item.id: item for item in queue.find(db, ws, name)}
    by_person: defaultdict[str, list[Annotation]] = defaultdict(list)
    for one in queue.decisions(db, ws):
        if one.item in items and one.state != "leased":
            by_person[one.annotator].append(one)
    return [_standing(who, by_person[who], items) for who in sorted(by_person)]


def _standing(who: str, given: Sequence[Annotation], items: dict[str, ReviewItem]) -> Standing:
    decided = [(one, items[one.item], one.decision) for one in given if one.decision]
    gold = [same(item.gold) == same(decision) for _, item, decision in decided if item.gold]
    settled = [
        same(Decision(item.result["action"], item.result["value"])) == same(decision)
        for _, item, decision in decided
        if item.status == "done" and item.result
    ]
    suggested = [one.suggested for one, item, _ in decided if item.suggestion]
    low, high = wilson(sum(gold), len(gold))
    return Standing(
        annotator=who,
        decided=len(decided),
        skipped=len(given) - len(decided),
        gold=len(gold),
        right=sum(gold),
        accuracy=_share(gold),
        low=low,
        high=high,
        seconds=statistics.median(one.seconds for one, _, _ in decided) if decided else None,
        as_settled=_share(settled),
        suggestions=_share(suggested),
    )


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None


def _by_item(given: Iterable[Annotation]) -> dict[str, list[Annotation]]:
    found: defaultdict[str, list[Annotation]] = defaultdict(list)
    for one in given:
        if one.state == "decided":
            found[one.item].append(one)
    return found
