"""Review by people: what may be put into the queue and decided, and what several decisions about a row come to.

This module knows kinds of decisions and when they are the same. It does not know HTTP, nor how the queue is kept.
"""

from __future__ import annotations

import math
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from secrets import randbelow

from feilun.errors import BadRequest
from feilun.records import JSON, derived_id
from feilun.store import Database, sources
from feilun.store.review import Annotation, Decision, ReviewItem, Settled, Suggestion, queue
from feilun.store.schema import clean

LEASE_SECONDS = 900.0
GOLD_SHARE = 0.1
LONGEST_TEXT = 200_000
LONGEST_REASON = 2_000
MOST_OPTIONS = 200
MOST_NEEDED = 25
_SIDES = ("a", "b", "tie")
Key = tuple[str, str]


def add(
    db: Database, ws: str, items: Sequence[ReviewItem], parents: dict[str, Sequence[str]] | None = None
) -> list[ReviewItem]:
    """Put rows into the queue and return them as kept; the same row of the same sources again changes nothing.

    Their ids are made here; ``parents`` names, by the id that an item was given, what it was made of beside its
    sources. Raises BadRequest for a row that nobody could decide about, NotFound for an unknown source.
    """
    made = [checked(item) for item in items]
    named = {new.id: (parents or {}).get(old.id, ()) for old, new in zip(items, made, strict=True)}
    secrets = {source.id for source in sources.find(db, ws) if source.permissions.encrypt}
    return queue.add(db, ws, made, named, secrets)


def checked(item: ReviewItem) -> ReviewItem:
    """Return an item with the id that follows from it, as it will be kept; raise BadRequest for what is wrong."""
    row = clean(item.row)
    item = replace(item, row=row, options=tuple(clean(list(item.options))))
    if not item.sources:
        raise BadRequest("A row names the sources that it comes from.", "Their permissions hold for it.", "sources")
    _check_row(item)
    if not 1 <= item.needed <= MOST_NEEDED:
        raise BadRequest(f"needed: 1 to {MOST_NEEDED} people decide about a row.", param="needed")
    if item.kind == "label":
        _check_options(item)
    for name, known in (("gold", item.gold), ("suggestion", item.suggestion and item.suggestion.decision)):
        if known:
            check_decision(item, known, "-", name)
    what = (item.workspace, item.queue, item.kind, row, sorted(item.sources), list(item.options), item.gold is not None)
    return replace(item, id=derived_id("review", *what), status="open", result=None)


def _check_row(item: ReviewItem) -> None:
    messages, text = item.row.get("messages") or [], item.row.get("text") or ""
    for one in messages:
        if not isinstance(one, dict) or not all(isinstance(one.get(name), str) for name in ("role", "content")):
            raise BadRequest("row: a message needs a role and a text.", param="row")
    if not messages and not (isinstance(text, str) and text.strip()):
        raise BadRequest("row: it has neither messages nor a text.", param="row")
    if item.kind == "correct" and messages and messages[-1]["role"] != "assistant":
        raise BadRequest("row: the last message is what is corrected; it is the assistant's.", param="row")
    if item.kind == "prefer":
        sides = [item.row.get(side) for side in ("a", "b")]
        if not all(isinstance(side, str) and side.strip() for side in sides):
            raise BadRequest("row: there are two answers, a and b, to choose from.", param="row")
        if messages and messages[-1]["role"] != "user":
            raise BadRequest("row: the last message is what a and b answer; it is the user's.", param="row")


def _check_options(item: ReviewItem) -> None:
    if not 2 <= len(item.options) <= MOST_OPTIONS or len({*item.options}) != len(item.options):
        raise BadRequest(f"options: 2 to {MOST_OPTIONS} different labels.", param="options")
    if item.scale == "interval" and not all(_is_number(option) for option in item.options):
        raise BadRequest("options: the labels of an interval scale are numbers.", param="options")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def check_decision(item: ReviewItem, decision: Decision, reason: str, param: str = "value") -> None:
    """Raise BadRequest for a decision that this item does not take; a rejection needs a reason."""
    if decision.action not in {item.kind, "reject"}:
        raise BadRequest(f"{param}: this row takes {item.kind} or reject.", param="action")
    if decision.action == "reject" and not reason.strip():
        raise BadRequest("reason: a rejection needs one.", param="reason")
    value = decision.value
    if decision.action == "label" and value not in item.options:
        raise BadRequest(
            f"{param}: {value[:40]!r} is none of the labels.", f"They are: {_listed(item.options)}.", param
        )
    if decision.action == "prefer" and value not in _SIDES:
        raise BadRequest(f"{param}: {value[:40]!r} is none of {_listed(_SIDES)}.", param=param)
    if decision.action == "correct" and not 0 < len(value.strip()) <= LONGEST_TEXT:
        raise BadRequest(f"{param}: the corrected text has 1 to {LONGEST_TEXT} characters.", param=param)
    if decision.action in {"accept", "reject"} and value:
        raise BadRequest(f"{param}: {decision.action} takes no value.", param=param)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)[:300]


def following(
    db: Database, ws: str, annotator: str, name: str = "", now: float | None = None, share: float = GOLD_SHARE
) -> tuple[ReviewItem, float] | None:
    """Give an annotator the next row, and until when it is theirs (s since 1970); None if none waits.

    Nothing about the row tells whether it measures annotators, or what others decided. One that measures comes with
    the probability ``share``, drawn anew each time, so that nobody can foresee it.
    """
    now = time.time() if now is None else now
    measure = randbelow(1_000_000) < share * 1_000_000
    given = queue.lease(db, ws, annotator, name, now, now + LEASE_SECONDS, measure)
    if given is None:
        return None
    item, until = given
    return _shown(item, queue.decisions(db, ws, item.id)), until


def _shown(item: ReviewItem, others: Sequence[Annotation]) -> ReviewItem:
    """Return what an annotator sees of an item: nothing tells whether it measures, or what others decided.

    Only where a corrected text is disputed, the texts that were given stand in ``options``, in an order that does not
    tell whose they are.
    """
    hidden = replace(item, gold=None, result=None, status="open", needed=1, created=0.0)
    if item.kind != "correct" or item.status != "disputed":
        return hidden
    texts = {one.decision.value for one in others if one.decision and one.decision.action == "correct"}
    return replace(hidden, options=tuple(sorted(texts)))


def decide(db: Database, ws: str, given: Annotation, now: float | None = None) -> Annotation:
    """Keep a decision of an annotator about the row that they were given, and settle the row if it was the last.

    Raises BadRequest for a decision that the row does not take, NotFound, and Conflict if it is not theirs.
    """
    decision = given.decision or Decision("reject")
    decision = Decision(decision.action, clean(decision.value))
    item = queue.get(db, ws, given.item)
    if item.status != "withdrawn":
        check_decision(item, decision, given.reason)
    suggested = item.suggestion is not None and same(item.suggestion.decision) == same(decision)
    given = replace(given, decision=decision, reason=given.reason.strip()[:LONGEST_REASON], suggested=suggested)
    return queue.decide(db, ws, given, time.time() if now is None else now, settle)


def skip(db: Database, ws: str, item_id: str, annotator: str, reason: str = "", now: float | None = None) -> Annotation:
    """Leave the row that an annotator was given to others; raises NotFound, Conflict if it is not theirs."""
    reason = reason.strip()[:LONGEST_REASON]
    return queue.skip(db, ws, item_id, annotator, reason, time.time() if now is None else now)


def suggest(db: Database, ws: str, item_id: str, suggestion: Suggestion) -> ReviewItem:
    """Set what a model would decide about a row that waits; raises BadRequest, NotFound, Conflict."""
    item = queue.get(db, ws, item_id)
    decision = Decision(suggestion.decision.action, clean(suggestion.decision.value))
    if item.status != "withdrawn":
        check_decision(item, decision, "-")
    return queue.suggest(db, ws, item_id, replace(suggestion, decision=decision))


def resolve(db: Database, ws: str, item_id: str, decision: Decision, reason: str, who: str) -> ReviewItem:
    """End an item by the word of somebody who runs the workspace; raises as :func:`decide` does."""
    item = queue.get(db, ws, item_id)
    decision = Decision(decision.action, clean(decision.value))
    if item.status != "withdrawn":
        check_decision(item, decision, reason)
    result = _result(item, decision, "resolved", 1, 1) | {"resolved_by": who, "reason": reason.strip()[:LONGEST_REASON]}
    return queue.resolve(db, ws, item_id, Settled("done", result))


def same(decision: Decision) -> Key:
    """Return what is equal for decisions that say the same: texts may differ in spaces and Unicode form."""
    value = decision.value
    if decision.action == "correct":
        value = " ".join(unicodedata.normalize("NFC", value).split())
    return decision.action, value


def settle(item: ReviewItem, decided: Sequence[Annotation]) -> Settled:
    """Return what the decisions about an item, in their order, come to.

    Once ``needed`` people have decided, more than half of them must agree; else one more decides. With that one, more
    than half must agree again; else that one's corrected text stands, or the median of the labels of an ordinal or
    interval scale; else the item is unsettled, and somebody who runs the workspace has to resolve it.
    """
    given = [one.decision for one in decided if one.decision]
    if len(given) < item.needed or (item.status == "disputed" and len(given) <= item.needed):
        return Settled(item.status)
    top, votes = Counter(map(same, given)).most_common(1)[0]
    if votes * 2 > len(given):
        chosen = next(decision for decision in given if same(decision) == top)
        how = "agreed" if votes == len(given) else "majority"
        return Settled("done", _result(item, chosen, how, votes, len(given)))
    if len(given) <= item.needed:
        return Settled("disputed")
    if item.kind == "correct":
        last = given[-1]
        votes = sum(same(decision) == same(last) for decision in given)
        return Settled("done", _result(item, last, "third", votes, len(given)))
    if item.scale != "nominal" and all(decision.action == "label" for decision in given):
        ranked = sorted(given, key=lambda decision: number(item, decision))
        middle = ranked[(len(ranked) - 1) // 2]
        votes = sum(same(decision) == same(middle) for decision in given)
        return Settled("done", _result(item, middle, "median", votes, len(given)))
    return Settled("unsettled")


def number(item: ReviewItem, decision: Decision) -> float:
    """Return a label of an ordinal or interval scale as a number: its rank, or itself."""
    return float(item.options.index(decision.value)) if item.scale == "ordinal" else float(decision.value)


def _result(item: ReviewItem, decision: Decision, how: str, votes: int, people: int) -> JSON:
    found: JSON = {"action": decision.action, "value": decision.value, "how": how, "votes": votes, "people": people}
    if item.suggestion is not None:
        accepted = same(item.suggestion.decision) == same(decision)
        found |= {"suggested_by": item.suggestion.by, "suggestion": "accepted" if accepted else "changed"}
    return found
