"""What is put into the review queue: answers that people found wrong, and records that operators flagged.

This module knows judgements, traces and records. It does not know what is decided about them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from feilun.errors import NotFound
from feilun.feedback.review import add, checked
from feilun.records import JSON, Feedback, Record, Source, Trace, derived_id
from feilun.store import Database, datasets, lineage, sources, traces
from feilun.store import feedback as judgements
from feilun.store.review import Decision, ReviewItem, Suggestion

BAD_SCORE = 0.5
QUEUE = "feedback"
_WHY = {
    "correction": ("somebody corrected this answer", "有人更正了这条回答"),
    "thumb": ("somebody found this answer bad", "有人认为这条回答不好"),
    "score": ("this answer was scored low", "这条回答得分偏低"),
}


@dataclass(frozen=True, slots=True)
class Flagged:
    """The rows that are in the queue now, and the judgements that were left out, each with the reason."""

    items: list[ReviewItem] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def flag_feedback(
    db: Database, ws: str, wanted: Sequence[str] | None = None, name: str = QUEUE, needed: int = 1
) -> Flagged:
    """Put answers that people judged bad or corrected into the queue, to be corrected (``wanted``: which judgements).

    Each becomes a source with the permissions of its call. A correction is a suggestion, not yet the answer. Doing it
    again adds nothing twice. Raises NotFound for an unknown judgement.
    """
    found = Flagged()
    given = judgements.find(db, ws) if wanted is None else [judgements.get(db, ws, each) for each in wanted]
    for one in given:
        try:
            trace = traces.get(db, ws, one.trace)
        except NotFound:
            found.left_out.append((one.id, "its trace is gone"))
            continue
        reason = _reason(one)
        if not reason:
            found.left_out.append((one.id, "it finds nothing wrong"))
        elif not trace.permissions.train:
            found.left_out.append((one.id, "its trace must not be trained on"))
        elif not trace.answer.strip():
            found.left_out.append((one.id, "its trace has no answer"))
        else:
            found.items.append(_flag(db, one, trace, reason, replace(_EMPTY, workspace=ws, queue=name, needed=needed)))
    return found


_EMPTY = ReviewItem("", "", "", "correct", {}, (), {})


def _reason(given: Feedback) -> str:
    if given.correction.strip():
        return "correction"
    if given.thumb == -1:
        return "thumb"
    return "score" if given.score is not None and given.score < BAD_SCORE and given.thumb != 1 else ""


def _flag(db: Database, given: Feedback, trace: Trace, reason: str, blank: ReviewItem) -> ReviewItem:
    said = [{"role": str(m.get("role")), "content": _text(m.get("content"))} for m in trace.messages]
    row = {"messages": [*said, {"role": "assistant", "content": trace.answer}]}
    ws, answer = blank.workspace, given.correction.strip()
    source = Source(
        id=derived_id("source", "review", given.id),
        workspace=ws,
        name=f"feedback/{given.id}.review.json",
        sha256="",
        size=0,
        origin="feedback",
        media="json",
        permissions=trace.permissions,
        created=given.created,
        meta={"trace": trace.id, "feedback": given.id},
    )
    english, chinese = _WHY[reason]
    why = {"en": f"{english}: {given.comment}"[:500], "zh": f"{chinese}：{given.comment}"[:500]}
    item = replace(
        blank,
        row=row,
        sources=(source.id,),
        why=why if given.comment else {"en": english, "zh": chinese},
        suggestion=Suggestion(Decision("correct", answer), given.id) if answer else None,
    )
    checked(item)
    sources.add(db, source, json.dumps({**row, "trace": trace.id}).encode())
    lineage.link(db, ws, [(given.id, source.id, "taught")])
    (kept,) = add(db, ws, [item], {item.id: (given.id, trace.id)})
    return kept


def _text(content: object) -> str:
    """Return the words of a message, whose content may come in parts."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return str(content or "")


def flag_dataset(
    db: Database, version: str, like: ReviewItem, words: Callable[[str, str], tuple[str, str]] | None = None
) -> list[ReviewItem]:
    """Put the records of a dataset version that operators flagged (``meta["flags"]``) into the queue.

    All but why they are here is that of ``like``; ``words`` gives, for an operator and its reason, plain words in
    English and Chinese. Raises NotFound, BadRequest for records that nobody could decide about.
    """
    items: list[ReviewItem] = []
    for record in datasets.read(db, like.workspace, version, "inspect"):
        flags = [flag for flag in record.meta.get("flags") or [] if isinstance(flag, dict)]
        if flags:
            told = {"en": _told(flags, words or _code, 0), "zh": _told(flags, words or _code, 1)}
            meta = {name: value for name, value in record.meta.items() if name != "flags"}
            items.append(_of_record(replace(record, meta=meta), replace(like, why=told)))
    made = [checked(item) for item in items]
    return add(db, like.workspace, made, {item.id: (version,) for item in made}) if made else []


def _told(flags: Sequence[JSON], words: Callable[[str, str], tuple[str, str]], language: int) -> str:
    """Return why a record was flagged, and what was found, in one language."""
    found = []
    for flag in flags:
        reason, detail = words(str(flag.get("by")), str(flag.get("why")))[language], str(flag.get("detail") or "")
        found.append(f"{reason}: {detail}" if detail else reason)
    return "; ".join(found)[:500]


def _code(operator: str, reason: str) -> tuple[str, str]:
    return (f"{operator}: {reason}",) * 2


def flag_records(db: Database, records: Sequence[Record], like: ReviewItem) -> list[ReviewItem]:
    """Put records that an operator flagged into the queue; all else of their items is that of ``like``.

    ``like.why`` says why in English and Chinese. Raises BadRequest for records that nobody could decide about.
    """
    return add(db, like.workspace, [_of_record(record, like) for record in records])


def _of_record(record: Record, like: ReviewItem) -> ReviewItem:
    row = {"messages": list(record.messages), "text": record.text, "meta": {**record.meta, "record": record.id}}
    return replace(like, row=row, sources=record.sources)
