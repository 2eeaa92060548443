"""Feedback on traces to lessons, each kept as a source with the permissions of its trace.

It knows which judgement teaches what. It does not know how a lesson is worded for training or exams.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from feilun.errors import Forbidden, NotFound
from feilun.records import Feedback, Record, Source, Trace, derived_id
from feilun.signs import compared
from feilun.store import feedback as judgements
from feilun.store import lineage, sources, traces
from feilun.store.access import revoked
from feilun.store.database import Database

GOOD_SCORE = 0.8


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question with the answer that a person gave (``correction``) or approved (``praise``)."""

    kind: str
    question: str
    answer: str
    source: str
    created: float

    def record(self, wording: str) -> Record:
        """Return the training record of one wording."""
        messages = ({"role": "user", "content": wording}, {"role": "assistant", "content": self.answer})
        meta = {"group": f"lesson-{self.source}", "origin": "feedback", "topic": "feedback", "place": ""}
        return Record(
            derived_id("record", "lesson", wording, self.answer, self.source),
            "chat",
            (self.source,),
            messages,
            "",
            meta,
        )


@dataclass(frozen=True, slots=True)
class Collected:
    """Lessons, the questions that were answered badly with no right answer given, and what was left out and why."""

    lessons: list[Lesson] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def collect(db: Database, ws: str) -> Collected:
    """Return what the feedback of a workspace teaches; of several judgements on one question the latest counts.

    Feedback that must not be trained on, by its trace's permissions or by its own, is left out. Running it again adds
    nothing twice.
    """
    found = Collected()
    latest: dict[str, tuple[Feedback, Trace]] = {}
    tainted = revoked.all_models(db, ws)
    for given in judgements.find(db, ws):
        try:
            trace = traces.get(db, ws, given.trace)
        except NotFound:
            found.left_out.append((given.id, "its trace is gone"))
            continue
        if not trace.permissions.train:
            found.left_out.append((given.id, "its trace must not be trained on"))
            continue
        asked = [str(m.get("content") or "") for m in trace.messages if m.get("role") == "user"]
        if len(asked) != 1:
            found.left_out.append((given.id, "it cannot be understood without the conversation before it"))
            continue
        if not given.correction.strip() and trace.model in tainted:
            found.left_out.append((given.id, "the answer came from a model that contains revoked data"))
            continue
        latest[compared(asked[0])] = (given, trace)
    for given, trace in latest.values():
        _learn(db, ws, given, trace, found)
    return found


def _learn(db: Database, ws: str, given: Feedback, trace: Trace, found: Collected) -> None:
    question = next(str(m["content"]) for m in trace.messages if m.get("role") == "user").strip()
    answer = given.correction.strip()
    kind = "correction"
    if not answer:
        good = given.thumb == 1 or (given.score is not None and given.score >= GOOD_SCORE)
        if not good or trace.finish != "stop" or not trace.answer.strip():
            found.gaps.append(question)
            return
        kind, answer = "praise", trace.answer.strip()
    body = json.dumps({"question": question, "answer": answer, "kind": kind, "trace": trace.id}, ensure_ascii=False)
    source = Source(
        id=derived_id("source", "feedback", given.id),
        workspace=ws,
        name=f"feedback/{given.id}.json",
        sha256="",
        size=0,
        origin="feedback",
        media="json",
        permissions=trace.permissions,
        created=given.created,
        meta={"trace": trace.id, "feedback": given.id},
    )
    sources.add(db, source, body.encode())
    try:
        sources.content(db, ws, source.id, "train")
    except Forbidden as error:  # revoked or expired since it was given, or a copy of what is forbidden
        found.left_out.append((given.id, error.message))
        return
    lineage.link(db, ws, [(given.id, source.id, "taught")])
    found.lessons.append(Lesson(kind, question, answer, source.id, given.created))
